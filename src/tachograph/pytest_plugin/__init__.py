"""Tests of agents with pytest: what the fixture ``tachograph_session`` gives, budgets and baselines.

::

    @pytest.mark.tachograph_budget(tokens=25_000, cost=0.05, errors=0)
    def test_the_team_answers(tachograph_session):
        team.main()
        assert tachograph_session.switches == [("manager", "researcher"), ("manager", "analyst")]

Loaded by the first test that asks for it; :mod:`pytest_tachograph` is what every pytest run loads.
"""
