"""What tick and relay look at before they start: going on in spite of it would do harm."""

from clearlift_adapters.cli.options import Flags
from clearlift_adapters.clock import SystemClock
from clearlift_adapters.doctor.start import looked_at
from clearlift_engine.errors import ConfigurationError


def refuse_unsafe(flags: Flags) -> None:
    """Warn of what is unsafe, and go no further where it would cost more than the run is worth.

    Raises:
        ConfigurationError: with what is wrong, and what to do.
    """
    settings = flags.settings
    now_ms = SystemClock().now() if settings.now_ms is None else settings.now_ms
    for finding in looked_at(settings, now_ms, flags.environment):
        if finding.severity == "error":
            raise ConfigurationError(f"{finding.found}; {finding.remedy}")
        # Whoever opens the clock says that it is set, but not that it is set to long ago.
        if finding.severity == "warning" and finding.check != "clock":
            flags.log.note("warning", finding.found, do=finding.remedy)
