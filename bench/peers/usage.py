"""What a peer has used of the machine, for its report."""

import resource


def usage() -> dict[str, float]:
    """CPU seconds and the largest resident set, in octets, of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": used.ru_utime + used.ru_stime,
        "cpu_system_s": used.ru_stime,
        "rss_octets": used.ru_maxrss * 1024,
    }
