/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a board: made from what the options say, run by a thread of its own, driven by an
 * accelerator, and ended by that or by a signal.
 *
 *   created ─► start ─► [wait for the tester] ─► running ─► accelerator has ended ─► accelerator
 *   stopped ─► devices drained and flushed ─► ended
 *
 * The board's loop runs from start to destroy, since both a vCPU that is being stopped and a drain
 * need it. The accelerator says on any thread that it has ended; from there on everything is sent
 * back and forth between the main loop and the board's, one step at a time.
 *
 * With -S the accelerator isn't started, and as there is no monitor that could make up for it, it
 * never is; but a tester is no CPU.
 *
 * Main thread, but for what says otherwise.
 */
#include "system/board.h"
#include "accel/accel.h"
#include "system/socket.h"
#include "system/thread.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/main-post.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOARD_NAME "board"
#define TESTER_ACCEL "qtest"
#define DEFAULT_RAM "128M"

struct Board {
    System *sys;
    void (*ended)(void *opaque, int status);
    void *opaque;
    /* what the options say */
    uint64_t ram_size;
    GPtrArray *types; /* const AccelType *: the first one that works */
    AccelOptions options;
    bool frozen;
    BoardIo serial, debug, tester;
    Listener listener; /* for the tester */
    /* what runs */
    Loop *loop;
    Pc *pc;
    GThread *thread;
    const AccelType *type;
    Accel *accel;
    bool accel_started, stopping;
    int status;
    LoopPost stop_post, quit_post;
};

/* --- what the options say --- */

/* The last one of that name, or NULL. */
static const OptionItem *item_find(const Board *board, const char *name)
{
    const GPtrArray *items = board->sys->board_items;

    for (unsigned i = items->len; i > 0; i--) {
        const OptionItem *item = g_ptr_array_index(items, i - 1);
        if (strcmp(item->desc->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

static const char *item_value(const Board *board, const char *name)
{
    const OptionItem *item = item_find(board, name);

    return item ? item->value : NULL;
}

/* Puts the option in front of an error. Returns ok. */
static bool blame(bool ok, const OptionItem *item, GError **errp)
{
    if (!ok && item) {
        g_autofree char *text = option_text(item);
        g_prefix_error(errp, "%s: ", text);
    }
    return ok;
}

/* "[size=]megs", megs with a suffix bytes. */
static bool parse_ram(const char *text, uint64_t *bytes, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(text, "size", errp);

    if (!opts) {
        return false;
    }
    const char *size = opts_get(opts, "size");
    if (!size) {
        size = DEFAULT_RAM;
    }
    bool plain = size[0] && size[strspn(size, "0123456789")] == '\0';
    g_autofree char *megs = g_strconcat(size, plain ? "M" : NULL, NULL);
    return opt_parse_size("size", megs, bytes, errp) &&
           opts_check_used(opts, "Invalid parameter '%s'", errp);
}

static bool find_ram(Board *board, const PcMachineProps *props, GError **errp)
{
    const OptionItem *item = item_find(board, "m");
    const char *id = props->memory_backend;

    if (!blame(parse_ram(item ? item->value : DEFAULT_RAM, &board->ram_size, errp), item, errp)) {
        return false;
    }
    if (!id) {
        return true;
    }
    uint64_t size = memory_backend_size(board->sys->objects, id);
    if (item && size != board->ram_size) {
        error_set(errp, "memory backend '%s' has %" G_GUINT64_FORMAT " bytes", id, size);
        return blame(false, item, errp);
    }
    board->ram_size = size;
    return true;
}

static const AccelType *accel_find(const Board *board, const char *name)
{
    for (unsigned i = 0; board->sys->registry->accels[i]; i++) {
        if (strcmp(board->sys->registry->accels[i]->name, name) == 0) {
            return board->sys->registry->accels[i];
        }
    }
    return NULL;
}

static bool add_accel(Board *board, const char *name, GError **errp)
{
    const AccelType *type = name ? accel_find(board, name) : NULL;

    if (!name) {
        return error_set(errp, "Parameter 'accel' is missing");
    }
    if (!type) {
        return error_set(errp, "invalid accelerator '%s' (use -accel help to list them)", name);
    }
    g_ptr_array_add(board->types, (void *)type);
    return true;
}

static bool add_accel_item(Board *board, const OptionItem *item, GError **errp)
{
    bool irqchip = true;

    if (!item->value) {
        return add_accel(board, "kvm", errp); /* -enable-kvm */
    }
    g_autoptr(Opts) opts = opts_parse(item->value, "accel", errp);
    if (!opts) {
        return false;
    }
    const char *text = opts_get(opts, "kernel-irqchip");
    if (text && !opt_parse_bool("kernel-irqchip", text, &irqchip, errp)) {
        return false;
    }
    if (!irqchip) {
        return error_set(errp, "Parameter 'kernel-irqchip' can't be off");
    }
    return add_accel(board, opts_get(opts, "accel"), errp) &&
           opts_check_used(opts, "Invalid parameter '%s'", errp);
}

static bool add_machine_accels(Board *board, const char *names, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(names, ":", -1);
    bool ok = list[0] || error_set(errp, "Parameter 'accel' is empty");

    for (unsigned i = 0; ok && list[i]; i++) {
        ok = add_accel(board, list[i], errp);
    }
    if (ok && item_find(board, "accel")) {
        ok = error_set(errp, "accel= and -accel exclude each other");
    }
    if (!ok) {
        g_prefix_error(errp, "%s: ", board->sys->machine_origin);
    }
    return ok;
}

static bool find_accels(Board *board, const PcMachineProps *props, GError **errp)
{
    const GPtrArray *items = board->sys->board_items;
    const AccelType *first = board->sys->registry->accels[0];

    for (unsigned i = 0; i < items->len; i++) {
        const OptionItem *item = g_ptr_array_index(items, i);
        bool asks = strcmp(item->desc->name, "accel") == 0 ||
                    strcmp(item->desc->name, "enable-kvm") == 0;
        if (asks && !blame(add_accel_item(board, item, errp), item, errp)) {
            return false;
        }
    }
    if (props->accel && !add_machine_accels(board, props->accel, errp)) {
        return false;
    }
    if (board->types->len > 0) {
        return true;
    }
    if (!first) {
        return error_set(errp, "this program was built without an accelerator");
    }
    return add_accel(board, item_find(board, "qtest") ? TESTER_ACCEL : first->name, errp);
}

static bool is_tester(const AccelType *type)
{
    return strcmp(type->name, TESTER_ACCEL) == 0;
}

static bool find_tester(Board *board, GError **errp)
{
    const OptionItem *item = item_find(board, "qtest");
    const AccelType *type = g_ptr_array_index(board->types, 0);

    if (!item) {
        return true;
    }
    if (!is_tester(type)) {
        error_set(errp, "needs -accel " TESTER_ACCEL ", not %s", type->name);
        return blame(false, item, errp);
    }
    return blame(board_io_open_tester(&board->tester, board->sys, item->value, errp), item, errp);
}

static bool find_log(Board *board, GError **errp)
{
    static const char *const shown[] = { "/dev/stderr", "/dev/fd/2", NULL };
    static const char *const silent[] = { "/dev/null", "none", NULL };
    const OptionItem *item = item_find(board, "qtest-log");

    board->options.qtest_log = item && g_strv_contains(shown, item->value);
    if (!item || board->options.qtest_log || g_strv_contains(silent, item->value)) {
        return true;
    }
    error_set(errp, "goes to standard error or nowhere: %s", item->desc->arg);
    return blame(false, item, errp);
}

static bool find_port(Board *board, const char *name, BoardIo *io, GError **errp)
{
    const OptionItem *item = item_find(board, name);

    return !item || blame(board_io_open(io, board->sys, item->value, errp), item, errp);
}

/* One port of each kind is all there is. */
static bool check_twice(const Board *board, const char *name, GError **errp)
{
    const GPtrArray *items = board->sys->board_items;
    const OptionItem *last = item_find(board, name);

    for (unsigned i = 0; i < items->len; i++) {
        const OptionItem *item = g_ptr_array_index(items, i);
        if (strcmp(item->desc->name, name) == 0 && item != last) {
            error_set(errp, "there is one such port only");
            return blame(false, last, errp);
        }
    }
    return true;
}

static bool find_options(Board *board, GError **errp)
{
    const PcMachineProps *props = board->sys->machine_state;
    const OptionItem *append = item_find(board, "append");

    board->options.qtest_fd = -1;
    board->options.kernel = item_value(board, "kernel");
    board->options.append = item_value(board, "append");
    board->frozen = item_find(board, "S");
    if (append && !board->options.kernel) {
        error_set(errp, "only allowed with -kernel");
        return blame(false, append, errp);
    }
    return check_twice(board, "serial", errp) && check_twice(board, "debugcon", errp) &&
           find_ram(board, props, errp) && find_accels(board, props, errp) &&
           find_log(board, errp) && find_tester(board, errp) &&
           find_port(board, "serial", &board->serial, errp) &&
           find_port(board, "debugcon", &board->debug, errp);
}

/* --- the machine --- */

static bool plug_devices(Board *board, GError **errp)
{
    const GPtrArray *devices = board->sys->devices->devices;

    for (unsigned i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        PciDev *pci = dev->state;

        if (strcmp(dev->type->bus_kind, BUS_PCI) != 0 || dev->bound) {
            continue;
        }
        if (!pc_add_device(board->pc, pci, pci->devfn, errp)) {
            return false;
        }
        dev->bound = "board";
    }
    return true;
}

static bool make_pc(Board *board, GError **errp)
{
    const PcConfig config = {
        .ram_size = board->ram_size,
        .serial_in = board->serial.in,
        .serial_out = board->serial.out,
        .debug_out = board->debug.out,
    };

    board->loop = loop_new(BOARD_NAME, errp);
    if (!board->loop) {
        return false;
    }
    board->pc = pc_new(board->loop, &config, errp);
    return blame(board->pc != NULL, item_find(board, "m"), errp);
}

/* --- the end --- */

static void over(void *opaque)
{
    Board *board = opaque;

    board->ended(board->opaque, board->status);
}

/* On the board's thread. */
static void on_drained(void *opaque)
{
    main_post(over, opaque);
}

/* On the board's thread. */
static void drain(void *opaque)
{
    Board *board = opaque;

    pc_stop(board->pc, on_drained, board);
}

static void stop_accel(Board *board)
{
    if (board->accel_started) {
        board->accel_started = false;
        board->type->stop(board->accel);
    }
}

static void accel_has_ended(void *opaque)
{
    Board *board = opaque;

    board->stopping = true;
    stop_accel(board);
    loop_post(board->loop, &board->stop_post);
}

/* On any thread. */
static void accel_ended(void *opaque, int code)
{
    Board *board = opaque;

    board->status = code;
    main_post(accel_has_ended, board);
}

static void board_stop(Board *board)
{
    if (board->stopping) {
        return;
    }
    board->stopping = true;
    if (!board->thread) {
        listener_close(&board->listener);
        main_post(over, board);
    } else if (board->accel_started) {
        stop_accel(board);
    } else {
        accel_ended(board, 0);
    }
}

/* --- the beginning --- */

static bool make_accel(Board *board, GError **errp)
{
    for (unsigned i = 0; !board->accel; i++) {
        g_autoptr(GError) error = NULL;

        board->type = g_ptr_array_index(board->types, i);
        if (is_tester(board->type)) {
            board->options.qtest_fd = board->tester.in;
            board->tester.owned = false;
        }
        board->accel =
            board->type->create(board->pc, &board->options, accel_ended, board, &error);
        if (!board->accel && i + 1 == board->types->len) {
            g_propagate_error(errp, g_steal_pointer(&error));
            return false;
        }
        if (!board->accel) {
            log_line(NULL, "%s; trying the next accelerator", error->message);
        }
    }
    return true;
}

static void *board_thread(void *opaque)
{
    Board *board = opaque;

    loop_run(board->loop);
    return NULL;
}

static void board_run(Board *board)
{
    g_autoptr(GError) error = NULL;

    board->thread = thread_start(BOARD_NAME, board_thread, board, &error);
    if (!board->thread) {
        log_line(NULL, "can't run the board: %s", error->message);
        board->stopping = true;
        board->status = EXIT_FAILURE;
        main_post(over, board);
        return;
    }
    if (!board->frozen || is_tester(board->type)) {
        board->accel_started = true;
        board->type->start(board->accel);
    }
}

static void tester_came(void *opaque, int fd)
{
    g_autoptr(GError) error = NULL;
    Board *board = opaque;

    listener_close(&board->listener);
    board->tester.in = fd;
    if (make_accel(board, &error)) {
        board_run(board);
        return;
    }
    log_line(NULL, "can't serve the test: %s", error->message);
    board->stopping = true;
    board->status = EXIT_FAILURE;
    main_post(over, board);
}

static void empty_file(const BoardIo *io)
{
    struct stat st;

    if (io->truncate && fstat(io->out, &st) == 0 && S_ISREG(st.st_mode) &&
        ftruncate(io->out, 0) < 0) {
        log_line(NULL, "can't empty an output file");
    }
}

static void board_start(Board *board)
{
    empty_file(&board->serial);
    empty_file(&board->debug);
    if (board->tester.path) {
        listener_accept(&board->listener, tester_came, board);
    } else {
        board_run(board);
    }
}

static void board_destroy(Board *board)
{
    listener_close(&board->listener);
    if (board->thread) {
        loop_post(board->loop, &board->quit_post);
        g_thread_join(board->thread);
    }
    if (board->accel) {
        board->type->destroy(board->accel);
    }
    pc_free(board->pc);
    if (board->loop) {
        loop_free(board->loop);
    }
    board_io_close(&board->serial);
    board_io_close(&board->debug);
    board_io_close(&board->tester);
    g_ptr_array_free(board->types, TRUE);
    g_free(board);
}

/* On the board's thread. */
static void quit(void *opaque)
{
    Board *board = opaque;

    loop_quit(board->loop);
}

static Board *board_create(System *sys, void (*ended)(void *opaque, int status), void *opaque,
                           GError **errp)
{
    Board *board = g_new0(Board, 1);
    bool ok;

    board->sys = sys;
    board->ended = ended;
    board->opaque = opaque;
    board->serial = board->debug = board->tester = (BoardIo){ .in = -1, .out = -1 };
    board->listener.fd = -1;
    board->types = g_ptr_array_new();
    board->stop_post = (LoopPost){ .fn = drain, .opaque = board };
    board->quit_post = (LoopPost){ .fn = quit, .opaque = board };
    ok = find_options(board, errp) && make_pc(board, errp);
    if (ok && board->tester.path) {
        ok = blame(listener_open(&board->listener, board->tester.path, errp),
                   item_find(board, "qtest"), errp);
    } else if (ok) {
        ok = make_accel(board, errp);
    }
    /* After the accelerator, which may take a device's irqfd. */
    if (!ok || !plug_devices(board, errp)) {
        board_destroy(board);
        return NULL;
    }
    return board;
}

const BoardType pc_board_type = {
    .create = board_create,
    .start = board_start,
    .stop = board_stop,
    .destroy = board_destroy,
};
