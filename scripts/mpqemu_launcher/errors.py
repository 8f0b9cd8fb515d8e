# SPDX-License-Identifier: GPL-2.0-or-later
"""What ends a launch before it has begun."""


class LaunchError(Exception):
    """Start-up can't go on; the text is one sentence for the operator."""
