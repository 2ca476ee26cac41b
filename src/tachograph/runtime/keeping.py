"""The store of a runtime, where settings ask for one. SQLite is loaded only then, and as late as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.loading import loading
from tachograph.service import program_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.approvals import Elsewhere
    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.ledger import Ledger
    from tachograph.store.keeper import Keeper
    from tachograph.store.writer import Writer


def keeper(
    config: Config,
    *,
    ledger: Ledger,
    guard: Guard,
    complain: Callable[[str], None],
    publish: Callable[..., Any],
) -> Keeper | None:
    """Who keeps what the ledger is told; None where nothing is to be recorded, or kept.

    Args:
        config: the settings.
        ledger: what is kept comes through it.
        guard: around all that is done.
        complain: told, in one line each, of what cannot be kept.
        publish: told of each head of the audit chain.
    """
    if not config.enabled or not config.store:
        return None
    from tachograph.store.keeper import Keeper  # noqa: PLC0415 - only where a store is asked for

    def keep_within_bounds(writer: Writer) -> bool:
        from tachograph.store.upkeep import keep_within  # noqa: PLC0415 - loads SQLite, on the keeper's thread

        return keep_within(writer, config).finished

    return Keeper(
        config,
        ledger=ledger,
        guard=guard,
        complain=complain,
        publish=publish,
        program=config.service_name or program_name(),
        upkeep=keep_within_bounds,
    )


def elsewhere(keeper: Keeper | None) -> Elsewhere | None:
    """Where other processes ask and decide too: the store."""
    if keeper is None:
        return None
    with loading():  # SQLite, where somebody decides
        from tachograph.store.deciding import Deciding  # noqa: PLC0415

    return Deciding(keeper.path, keeper.flush, keeper.commit)
