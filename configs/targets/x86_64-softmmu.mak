# SPDX-License-Identifier: GPL-2.0-or-later
TARGET_ARCH=x86_64
TARGET_PROGRAM=qemu-system-x86_64
# The distribution's name: `make install` leaves this program out (configure --install-stock).
TARGET_STOCK=y
