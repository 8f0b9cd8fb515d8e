/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 16550A (National Semiconductor PC16550D), as far as a driver can see without a clock: there is
 * no baud rate, a byte is sent when it is written, and a byte that has come is there at once.
 *
 * Interrupts, in order of priority, IIR being the highest one that is pending and enabled:
 *
 *   line status (0x06)      an overrun, in loopback only; cleared by reading LSR
 *   received data (0x04)    the FIFO has reached its trigger level; below it what would time out
 *   time-out (0x0c)         on a line is reported at once
 *   THR empty (0x02)        the transmitter has become empty, or the interrupt was enabled while
 *                           it was; cleared by reading it in IIR and by writing THR
 *
 * Modem status never changes outside loopback: the other end is always there (DCD, DSR, CTS), so
 * that interrupt does not occur. On a PC, OUT2 gates the interrupt line; it doesn't here, as it
 * doesn't in QEMU, where guests exist that never set it.
 *
 * Input is read only while there is room in the FIFO, so the other end waits and nothing is lost.
 * Output that its receiver is slow to take keeps THR from being empty; polling drivers wait then.
 */
#include "hw/i386/pc-internal.h"
#include "util/log.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX 0x01
#define IER_THR 0x02
#define IER_LINE 0x04
#define IER_BITS 0x0f
#define IIR_NONE 0x01
#define IIR_THR 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_TRIGGER_SHIFT 6
#define LCR_DLAB 0x80
#define LCR_8N1 0x03
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_BITS 0x1f
#define LSR_READY 0x01
#define LSR_OVERRUN 0x02
#define LSR_THR 0x20
#define LSR_IDLE 0x40
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80
#define DIVISOR_9600 12

static bool has_fifos(const PcSerial *s)
{
    return s->fcr & FCR_ENABLE;
}

static unsigned rx_room(const PcSerial *s)
{
    unsigned size = has_fifos(s) ? PC_SERIAL_FIFO : 1;

    return s->rx_n < size ? size - s->rx_n : 0;
}

static bool thr_empty(const PcSerial *s)
{
    return s->out.n == 0;
}

static uint8_t iir_source(const PcSerial *s)
{
    static const uint8_t triggers[] = { 1, 4, 8, 14 };
    unsigned trigger = has_fifos(s) ? triggers[s->fcr >> FCR_TRIGGER_SHIFT] : 1;

    if ((s->ier & IER_LINE) && s->lsr_errors) {
        return IIR_LINE;
    }
    if ((s->ier & IER_RX) && s->rx_n > 0) {
        return s->rx_n >= trigger ? IIR_RX : IIR_TIMEOUT;
    }
    if ((s->ier & IER_THR) && s->thr_pending) {
        return IIR_THR;
    }
    return IIR_NONE;
}

static void update(PcSerial *s)
{
    bool level = iir_source(s) != IIR_NONE;

    if (level != s->level) {
        s->level = level;
        s->set_irq(s->opaque, level);
    }
}

/* --- the line --- */

static void on_input(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    PcSerial *s = opaque;
    ssize_t n = read(s->in_fd, s->rx + s->rx_n, rx_room(s));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) { /* the other end is gone, and will not come back */
        loop_fd_del(&s->in);
        s->in_fd = -1;
        return;
    }
    s->rx_n += n;
    if (rx_room(s) == 0) {
        loop_fd_del(&s->in);
    }
    update(s);
}

/* Watches the input while there is room for it. A file can't be watched, and is no line. */
static void listen_on(PcSerial *s)
{
    if (s->in_fd >= 0 && !s->in.loop && rx_room(s) > 0 &&
        loop_fd_add(s->loop, &s->in, s->in_fd, EPOLLIN, on_input, s) < 0) {
        s->in_fd = -1;
    }
}

static void rx_clear(PcSerial *s)
{
    s->rx_n = 0;
    listen_on(s);
}

static uint8_t rx_take(PcSerial *s)
{
    uint8_t byte = s->rx[0];

    if (s->rx_n == 0) {
        return 0;
    }
    s->rx_n--;
    memmove(s->rx, s->rx + 1, s->rx_n);
    listen_on(s);
    return byte;
}

static void on_drained(void *opaque)
{
    PcSerial *s = opaque;

    s->thr_pending = true;
    update(s);
}

static void transmit(PcSerial *s, uint8_t byte)
{
    s->thr_pending = false;
    update(s); /* the line falls for a moment, as an edge-triggered controller needs it */
    if (!(s->mcr & MCR_LOOP)) {
        pc_output_put(&s->out, byte);
    } else if (rx_room(s) > 0) {
        s->rx[s->rx_n++] = byte;
    } else {
        s->lsr_errors |= LSR_OVERRUN;
    }
    s->thr_pending = thr_empty(s);
}

/* --- registers --- */

static uint8_t iir_read(PcSerial *s)
{
    uint8_t source = iir_source(s);

    if (source == IIR_THR) {
        s->thr_pending = false;
    }
    return source | (has_fifos(s) ? IIR_FIFOS : 0);
}

static uint8_t lsr_read(PcSerial *s)
{
    uint8_t value = s->lsr_errors | (s->rx_n > 0 ? LSR_READY : 0);

    s->lsr_errors = 0;
    return value | (thr_empty(s) ? LSR_THR | LSR_IDLE : 0);
}

static uint8_t msr_read(const PcSerial *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
           (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void fcr_write(PcSerial *s, uint8_t value)
{
    bool was = has_fifos(s);

    s->fcr = value & FCR_ENABLE ? value : 0;
    if (has_fifos(s) != was || (value & FCR_CLEAR_RX)) {
        rx_clear(s);
    }
}

static void ier_write(PcSerial *s, uint8_t value)
{
    if ((value & ~s->ier & IER_THR) && thr_empty(s)) {
        s->thr_pending = true;
    }
    s->ier = value & IER_BITS;
}

uint8_t pc_serial_read(PcSerial *s, unsigned reg)
{
    bool dlab = s->lcr & LCR_DLAB;
    uint8_t value = 0;

    switch (reg) {
    case REG_DATA:
        value = dlab ? s->divisor & 0xff : rx_take(s);
        break;
    case REG_IER:
        value = dlab ? s->divisor >> 8 : s->ier;
        break;
    case REG_IIR_FCR:
        value = iir_read(s);
        break;
    case REG_LCR:
        value = s->lcr;
        break;
    case REG_MCR:
        value = s->mcr;
        break;
    case REG_LSR:
        value = lsr_read(s);
        break;
    case REG_MSR:
        value = msr_read(s);
        break;
    case REG_SCR:
        value = s->scr;
        break;
    }
    update(s);
    return value;
}

void pc_serial_write(PcSerial *s, unsigned reg, uint8_t value)
{
    bool dlab = s->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        if (dlab) {
            s->divisor = (s->divisor & 0xff00) | value;
        } else {
            transmit(s, value);
        }
        break;
    case REG_IER:
        if (dlab) {
            s->divisor = (s->divisor & 0x00ff) | value << 8;
        } else {
            ier_write(s, value);
        }
        break;
    case REG_IIR_FCR:
        fcr_write(s, value);
        break;
    case REG_LCR:
        s->lcr = value;
        break;
    case REG_MCR:
        s->mcr = value & MCR_BITS;
        break;
    case REG_SCR:
        s->scr = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
    update(s);
}

void pc_serial_reset(PcSerial *s)
{
    s->ier = 0;
    s->fcr = 0;
    s->mcr = 0;
    s->scr = 0;
    s->lcr = LCR_8N1;
    s->divisor = DIVISOR_9600;
    s->lsr_errors = 0;
    s->thr_pending = false;
    rx_clear(s);
    update(s);
}

void pc_serial_init(PcSerial *s, Loop *loop, int in_fd, int out_fd, void (*set_irq)(void *, bool),
                    void *opaque)
{
    *s = (PcSerial){ .loop = loop, .in_fd = in_fd, .set_irq = set_irq, .opaque = opaque };
    pc_output_init(&s->out, loop, out_fd, on_drained, s);
    pc_serial_reset(s);
}

void pc_serial_fini(PcSerial *s)
{
    loop_fd_del(&s->in);
    pc_output_fini(&s->out);
}
