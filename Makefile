# SPDX-License-Identifier: GPL-2.0-or-later
BUILD ?= build

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	./configure --build-dir=$(BUILD)

check-unit: $(BUILD)/build.ninja
	meson test -C $(BUILD) --suite unit

.PHONY: all check-unit
