"""The lowest layer: each micro agent does one small thing, with tools."""
