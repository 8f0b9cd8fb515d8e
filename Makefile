# SPDX-License-Identifier: GPL-2.0-or-later
#
# Short names for what ninja and meson do. `make help` lists them.

BUILD = build
BUILD_ASAN = build-asan
BUILD_TSAN = build-tsan
NINJA = ninja
NINJAFLAGS = $(if $(filter-out undefined,$(origin V)),-v)

# Suites that need neither root nor network nor a guest; run-tests sums up.
SUITES = unit tree cli wire device
ASAN_SUITES = unit cli wire device
TSAN_SUITES = unit wire
TEST = scripts/run-tests --build-dir $(BUILD) --name $@

all: $(BUILD)/build.ninja
	@$(NINJA) $(NINJAFLAGS) -C $(BUILD) programs

# A new option reconfigures by ninja's own rule, so this is for the first time only.
$(BUILD)/build.ninja:
	./configure --build-dir=$(BUILD)

$(BUILD_ASAN)/build.ninja:
	./configure --build-dir=$(BUILD_ASAN) --enable-sanitizers

$(BUILD_TSAN)/build.ninja:
	./configure --build-dir=$(BUILD_TSAN) --enable-tsan

install: all
	@DESTDIR="$(abspath $(DESTDIR))" meson install -C $(BUILD) --no-rebuild

clean:
	@if [ -e $(BUILD)/build.ninja ]; then $(NINJA) -C $(BUILD) -t clean; fi

distclean:
	rm -rf $(BUILD) $(BUILD_ASAN) $(BUILD_TSAN)

check: $(BUILD)/build.ninja
	@$(TEST) $(SUITES)

SUITE_CHECKS = $(addprefix check-,$(SUITES))
$(SUITE_CHECKS): check-%: $(BUILD)/build.ninja
	@$(TEST) $*

# These work in a fresh clone: what is missing is installed before anything is configured.

# Where no newer QEMU can be had, its cases are skipped, with the same reason.
check-interop:
	@scripts/install-deps build boot
	@scripts/install-deps newer || true
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@tests/interop/newer-qemu.sh || true
	@$(TEST) interop clients

check-remote:
	@scripts/install-deps build boot
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(TEST) $(SUITES) interop

check-remote-slow:
	@scripts/install-deps build boot
	@scripts/install-deps ceph || true
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(TEST) slow

check-remote-asan:
	@scripts/install-deps build
	@$(MAKE) --no-print-directory $(BUILD_ASAN)/build.ninja
	@$(TEST) --build-dir $(BUILD_ASAN) $(ASAN_SUITES)

check-remote-tsan:
	@scripts/install-deps build
	@$(MAKE) --no-print-directory $(BUILD_TSAN)/build.ninja
	@$(TEST) --build-dir $(BUILD_TSAN) $(TSAN_SUITES)

# Until it is stopped, from a fresh seed; each batch says how to run it again.
fuzz-lsi:
	@scripts/install-deps build
	@$(MAKE) --no-print-directory $(BUILD_ASAN)/build.ninja
	@$(NINJA) $(NINJAFLAGS) -C $(BUILD_ASAN) tests/fuzz/random-lsi
	@$(BUILD_ASAN)/tests/fuzz/random-lsi --endless

# The packages build themselves from the tree, so no build folder of this one is used.
check-deb:
	@scripts/install-deps build deb
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(TEST) deb

deb:
	@scripts/install-deps build deb
	@scripts/build-deb $(BUILD)/deb

VERSION = $(shell sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
dist:
	@mkdir -p $(BUILD)
	@git archive --prefix=qemu-remote-$(VERSION)/ HEAD | xz > $(BUILD)/qemu-remote-$(VERSION).tar.xz
	@echo $(BUILD)/qemu-remote-$(VERSION).tar.xz

# Of what is built here or, with INSTALLED=yes, of what a package or make install has installed.
demo:
ifdef INSTALLED
	@scripts/demo --installed
else
	@scripts/install-deps build guest
	@$(MAKE) --no-print-directory all
	@scripts/demo --build-dir $(BUILD)
endif

# BENCH takes more of its options: make bench-remote BENCH='--only iops --rounds 9'
bench-remote:
	@scripts/install-deps build boot
	@scripts/install-deps plots || true
	@$(MAKE) --no-print-directory all
	@tests/bench/bench-remote --build-dir $(BUILD) $(BENCH)

help:
	@echo 'all                the programs of the target list (the default)'
	@echo 'install            to the prefix given to ./configure, below DESTDIR'
	@echo 'clean, distclean   remove what was built; remove the build folders'
	@echo 'check              tests that need neither root nor network nor a guest'
	@echo 'check-SUITE        one suite: $(SUITES)'
	@echo 'check-interop      unmodified QEMUs and guests; fetches a QEMU with vfio-user-pci, too'
	@echo 'check-remote       all tests but the slow ones; installs what it needs'
	@echo 'check-remote-asan  unit, cli, wire and device tests with ASan and UBSan'
	@echo 'check-remote-tsan  unit and wire tests with ThreadSanitizer'
	@echo 'check-remote-slow  the slow ones'
	@echo 'fuzz-lsi           drives the adapter at random until it is stopped'
	@echo 'check-deb          builds the Debian packages, and tries them in a Debian of their own'
	@echo 'deb, dist          the Debian packages; the source as a tar file'
	@echo 'demo               boots a guest from a disk that this program serves; with INSTALLED=yes,'
	@echo '                   from one that the installed program serves'
	@echo 'bench-remote       measures beside the stock remote'

.PHONY: all install clean distclean check $(SUITE_CHECKS) check-interop check-remote \
    check-remote-slow check-remote-asan check-remote-tsan fuzz-lsi check-deb deb dist demo \
    bench-remote help
