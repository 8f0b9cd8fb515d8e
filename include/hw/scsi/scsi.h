/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI target side: a bus with logical units on it, and requests (tasks). Knows no host
 * adapter; the adapter knows only this header.
 *
 * An adapter embeds ScsiReq in its own task, fills in CDB and nexus and calls scsi_submit().
 * Nothing comes back from within that call. Later, from the loop, ready() says that bytes can be
 * moved: the adapter looks at scsi_req_window() and calls scsi_req_advance() for what it copied,
 * as often and in pieces as small as the initiator likes. done() comes exactly once; after it
 * the target never touches the request again. A command that needs no data gets done() only.
 *
 * Direction and total length are settled when ready() first comes. An initiator that wants fewer
 * bytes than the target has just stops moving and cancels; the target never waits with a lock.
 *
 * ready() comes once for each chunk; the chunk may have been moved already by then if the adapter
 * looked at the window itself after scsi_req_advance(). It does not come any more once the command
 * has failed or was cancelled: done() is all that follows then. A window's pointer is good until
 * the adapter returns to the loop or calls scsi_req_advance(), whichever is first.
 */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include "hw/core/device.h"
#include "util/loop.h"
#include "util/stream.h"
#include <sys/uio.h>

typedef struct ScsiBus ScsiBus;
typedef struct ScsiDev ScsiDev;
typedef struct ScsiReq ScsiReq;
typedef struct ScsiReqState ScsiReqState;
typedef struct ScsiBusState ScsiBusState;

#define SCSI_CDB_MAX 16
#define SCSI_SENSE_LEN 18
#define SCSI_MAX_ID 16
#define SCSI_MAX_LUN 8
#define SCSI_MAX_TASKS 256 /* on one logical unit */

/* SAM-5 table 44 */
enum {
    SCSI_GOOD = 0x00,
    SCSI_CHECK_CONDITION = 0x02,
    SCSI_BUSY = 0x08,
    SCSI_RESERVATION_CONFLICT = 0x18,
    SCSI_TASK_SET_FULL = 0x28,
};

typedef enum ScsiAttr { SCSI_UNTAGGED, SCSI_SIMPLE, SCSI_HEAD, SCSI_ORDERED } ScsiAttr;
typedef enum ScsiDir { SCSI_DIR_NONE, SCSI_DIR_IN, SCSI_DIR_OUT } ScsiDir;

typedef struct ScsiSense {
    uint8_t key, asc, ascq;
} ScsiSense;

typedef struct ScsiReqOps {
    /* From the loop: window or direction changed, bytes can be moved. */
    void (*ready)(ScsiReq *req);
    /* From the loop, exactly once per scsi_submit(). status is valid unless cancelled. */
    void (*done)(ScsiReq *req);
} ScsiReqOps;

struct ScsiReq {
    /* the adapter's, set before scsi_submit() */
    const ScsiReqOps *ops;
    uint8_t target, lun;
    ScsiAttr attr;
    uint16_t tag;
    uint8_t cdb[SCSI_CDB_MAX];
    uint8_t cdb_len; /* bytes received from the initiator; may be short or longer than needed */
    /* the target's, for the adapter to read */
    ScsiDir dir;
    uint64_t total; /* bytes of the data phase */
    uint64_t moved; /* of them, moved so far */
    uint8_t status; /* at done */
    bool cancelled; /* at done: status means nothing */
    /* the target's own */
    ScsiBus *bus;
    ScsiDev *dev; /* who answers; for a LUN that does not exist the bus's own stand-in */
    ScsiReq *next, **prev; /* the unit's task set */
    LoopWork work;
    bool started, finished;
    bool cancelling; /* scsi_cancel() came, done() not yet */
    bool ready_due;
    bool evicted; /* cancelled since the unit goes away: the initiator is told that it has gone */
    bool parked; /* failed, but its status waits for an older one's sense data to be fetched */
    ScsiSense sense;
    bool info_valid; /* the sense data has an INFORMATION field */
    uint32_t info;
    uint8_t *sense_data; /* of a device that has its own, in place of sense; or NULL */
    size_t sense_len;
    uint8_t *mem;    /* an answer or a parameter list kept in memory, freed at done */
    size_t mem_len;
    void (*params)(ScsiDev *dev, ScsiReq *req); /* mem holds the whole parameter list */
    ScsiReqState *again;                        /* by scsi_resubmit(), until it is where it was */
    uint8_t *buf; /* the present chunk */
    bool direct;  /* it is not in memory: scsi_req_read() */
    size_t buf_size;
    uint64_t chunk_start; /* offset of buf in the data phase */
    size_t chunk_len;     /* valid bytes (IN) or wanted bytes (OUT) in buf */
    void *priv;           /* the command's own */
};

/* One kind of logical unit (disk, CD). */
typedef struct ScsiDevOps {
    uint8_t pdt; /* peripheral device type: 0 disk, 5 CD */
    /* Optional: the bus is attached to its loop. */
    bool (*attach)(ScsiDev *dev, Loop *loop, GError **errp);
    void (*detach)(ScsiDev *dev);
    /* A command may start: decode and begin. Calls scsi_req_* below; never done() itself. */
    void (*start)(ScsiDev *dev, ScsiReq *req);
    /* The window is used up and the data phase goes on (next chunk), or, at moved == total, the
     * data phase is over: OUT data is complete, IN data is taken. Not called for answers and
     * parameter lists in memory (scsi_req_reply(), scsi_req_params()). */
    void (*more)(ScsiDev *dev, ScsiReq *req);
    /* Optional, of those that call scsi_req_direct(): see scsi_req_read(). */
    size_t (*read)(ScsiDev *dev, ScsiReq *req, const struct iovec *iov, unsigned niov);
    /* Gives up the work for req; scsi_req_finish() must follow, now or when its I/O is back. A
     * write that was started on the medium is not taken back. */
    void (*cancel)(ScsiDev *dev, ScsiReq *req);
    /* All tasks have been cancelled (some may still wait for their I/O): modes to defaults. */
    void (*reset)(ScsiDev *dev);
    /* Optional, after reset(): forgets what outlives a reset of the bus. */
    void (*power_on)(ScsiDev *dev);
    /* Waits for I/O in flight and flushes, then idle from the loop. */
    void (*drain)(ScsiDev *dev, void (*idle)(void *), void *opaque);
    /* Optional: goes on with what was kept for scsi_bus_resume(). */
    void (*resume)(ScsiDev *dev);
    /* Optional: the drain of the bus is over. */
    void (*drained)(ScsiDev *dev);
    /* Optional, both or none: what the guest can change in the unit. load is called twice: the
     * first time it only looks (apply false). */
    void (*save)(const ScsiDev *dev, GByteArray *out);
    void (*load)(ScsiDev *dev, StreamIn *in, bool apply);
} ScsiDevOps;

struct ScsiDev {
    const ScsiDevOps *ops;
    Device *dev;
    ScsiBus *bus;
    /* properties; first free id and lun 0 if not given (-1) */
    int32_t channel, id, lun;
    /* unit attention conditions in the order they arose, and sense of the last command */
    ScsiSense ua[4];
    unsigned n_ua;
    ScsiSense sense;
    bool sense_info_valid;
    uint32_t sense_info;
    uint8_t *sense_data;
    size_t sense_len;
    bool allegiance; /* sense has been neither fetched nor given up */
    bool status_due; /* ... and the status itself has not reached the initiator yet */
    /* the task set, in order of arrival; HEAD in front */
    ScsiReq *tasks, **tasks_end;
    unsigned n_tasks;
    unsigned n_waiting;  /* of them, not started yet */
    unsigned n_barriers; /* of them, those that others wait for: HEAD, ORDERED, being cancelled,
                            COMPARE AND WRITE */
    unsigned n_parked;
    ScsiReq *exclusive;  /* started, and nothing else may: COMPARE AND WRITE */
};

/* ---- the adapter's side; on the loop's thread but where said ---- */

/* Main thread, in the adapter's realize. dev is the adapter; max_id is the number of ids
 * (8 narrow, 16 wide), own_id the adapter's, which no device may take. */
ScsiBus *scsi_bus_new(Device *dev, unsigned max_id, unsigned own_id);
void scsi_bus_free(ScsiBus *bus);
/* Main thread: hands the bus with its units and their block nodes to loop. */
bool scsi_bus_attach(ScsiBus *bus, Loop *loop, GError **errp);
void scsi_bus_detach(ScsiBus *bus);

/* Does any unit answer to this target id? */
bool scsi_bus_has_target(const ScsiBus *bus, unsigned target);
/* Queues req to its unit. HEAD starts at once; ORDERED when all earlier tasks are done; the others
 * when all earlier HEAD and ORDERED ones are; COMPARE AND WRITE runs alone, as if ORDERED. None
 * starts while an earlier task that was cancelled still has I/O on the medium, so that a retried
 * write is never overtaken by its first try. More than SCSI_MAX_TASKS tasks on a unit: TASK SET
 * FULL. A LUN that does not exist answers INQUIRY, REPORT LUNS and REQUEST SENSE, and 05/25/00 to
 * others. */
void scsi_submit(ScsiBus *bus, ScsiReq *req);
/* Task management: done(), with cancelled set, follows for each from the loop, never from within.
 * A request whose done() has come is not known any more and must not be passed. */
void scsi_cancel(ScsiReq *req);
void scsi_abort_lun(ScsiBus *bus, unsigned target, unsigned lun); /* ABORT, CLEAR QUEUE */
/* Cancels everything of one target / of the bus; UNIT ATTENTION 29/ascq for each unit. */
void scsi_reset_target(ScsiBus *bus, unsigned target, uint8_t ascq);
void scsi_reset_bus(ScsiBus *bus, uint8_t ascq);
/* Power-on state: as scsi_reset_bus() with 29/00 and modes back to their defaults. */
void scsi_bus_power_on(ScsiBus *bus);
/* When nothing is in flight and all caches are flushed: idle, from the loop, once. The adapter
 * has cancelled what it wants gone. Until idle no command starts and the adapter moves no data;
 * tasks that wait for either stay as they are and go on after it. One drain at a time. */
void scsi_bus_drain(ScsiBus *bus, void (*idle)(void *), void *opaque);
/* While held, no command starts and the adapter moves no data, as during a drain; those that were
 * kept for scsi_bus_resume() stay so. Letting go resumes them. */
void scsi_bus_hold(ScsiBus *bus, bool held);

/*
 * Contingent allegiance (SCSI-2 7.6): sense data of a command that failed stays until REQUEST SENSE
 * fetches it or another command comes. A second command that fails meanwhile gets no done() until
 * then, as it would overwrite it.
 *
 * A command that was on its way already when the first one failed must not take its sense data
 * away. An adapter that queues statuses before they reach the initiator therefore calls
 * scsi_bus_tells_status() once after scsi_bus_new(), and from then on scsi_status_sent() for each
 * done() with CHECK CONDITION, when the status byte has been moved or the adapter has dropped it.
 */
void scsi_bus_tells_status(ScsiBus *bus);
void scsi_status_sent(ScsiBus *bus, unsigned target, unsigned lun);

/*
 * Who wants to know what happens on the bus. All of it comes from the loop.
 *
 * rerror=stop, werror=stop, werror=enospc (the default): a unit whose I/O failed keeps the command
 * and tells error(), which stops the guest; scsi_bus_resume() does the I/O again. Without a watch
 * (there is no monitor that could continue it) the error is reported to the guest instead. The
 * commands that are kept can be cancelled, and a drain does not wait for them.
 */
typedef enum ScsiErrorAction {
    SCSI_ERROR_REPORT,
    SCSI_ERROR_IGNORE,
    SCSI_ERROR_STOP
} ScsiErrorAction;
typedef struct ScsiIoError {
    ScsiErrorAction action; /* what is done about it */
    bool write;
    int error; /* errno */
} ScsiIoError;
typedef struct ScsiBusWatch {
    void (*error)(void *opaque, ScsiDev *dev, const ScsiIoError *error);
    void (*tray)(void *opaque, ScsiDev *dev, bool open); /* has moved */
} ScsiBusWatch;
/* Main thread, before the bus is attached. One at most; release(opaque) comes with the bus's end,
 * and may be NULL. */
void scsi_bus_watch(ScsiBus *bus, const ScsiBusWatch *watch, void *opaque,
                    void (*release)(void *opaque));
void scsi_bus_resume(ScsiBus *bus);

/*
 * State (DESIGN.md section 9). A request is saved in a way in which it can be issued again to a
 * bus with the same units; only from within the idle() of a drain, when no I/O is in flight:
 *
 *   not started, or nothing moved yet   it begins again
 *   an answer in memory                 the answer itself; it is not asked for twice
 *   data in                             it begins again where the present chunk begins
 *   data out                            so too, with what of the chunk the initiator has sent
 *   failed, status held back            the status and sense data
 *   data out that was all taken, but I/O of which is kept for scsi_bus_resume()
 *                                       ends with ABORTED COMMAND: the data is not at hand any more
 *
 * Parsing changes nothing, so that a stream can be refused as a whole. Requests are to be issued
 * again in the order in which they came first, before the bus is loaded: what waits for the next
 * command (unit attention, sense data) is not theirs.
 */
void scsi_req_save(const ScsiReq *req, GByteArray *out);
/* NULL, or what is to be freed if it is not used. */
ScsiReqState *scsi_req_parse(StreamIn *in);
void scsi_req_state_free(ScsiReqState *state);
/* As scsi_submit(); takes state, and sets CDB and nexus by it. */
void scsi_resubmit(ScsiBus *bus, ScsiReq *req, ScsiReqState *state);
/* The nexus of a parsed request. */
void scsi_req_state_nexus(const ScsiReqState *state, uint8_t *target, uint8_t *lun);
void scsi_bus_save(const ScsiBus *bus, GByteArray *out);
/* NULL: also where the stream has a unit that this bus has not, or the other way round. */
ScsiBusState *scsi_bus_parse(const ScsiBus *bus, StreamIn *in);
void scsi_bus_state_free(ScsiBusState *state);
/* Takes state. */
void scsi_bus_load(ScsiBusState *state);

/* The bytes that can be moved now: to be read (IN) or filled (OUT). NULL with *len 0 while the
 * target is busy; NULL with a *len where they (IN) come by scsi_req_read(). */
uint8_t *scsi_req_window(ScsiReq *req, size_t *len);
/* The adapter knows where the next bytes of such a window go: the target puts as many there as it
 * has at hand, and returns their number; they still are to be moved, by scsi_req_advance() or by
 * reading them again. 0: none, and the window is another one, or there is none now. */
size_t scsi_req_read(ScsiReq *req, const struct iovec *iov, unsigned niov);
/* n bytes at the start of the window were moved. */
void scsi_req_advance(ScsiReq *req, size_t n);

/* ---- the units' side ---- */

/* In realize: checks channel, id, lun and puts dev on its bus. */
bool scsi_dev_plug(ScsiDev *dev, Device *device, const ScsiDevOps *ops, GError **errp);
void scsi_dev_unplug(ScsiDev *dev);
/* DeviceType.plug and .unplug of every unit. The other units of its target report that the LUNs
 * have changed (06/3F/0E). Commands that the unit has when it goes fail as those to a LUN that does
 * not exist (05/25/00); what they have begun to write is finished and flushed. */
bool scsi_dev_hot_plug(Device *dev, GError **errp);
void scsi_dev_hot_unplug(Device *dev, void (*gone)(void *opaque), void *opaque);
/* total bytes will be moved in direction dir. */
void scsi_req_data(ScsiReq *req, ScsiDir dir, uint64_t total);
/* buf holds the next len bytes (IN), or wants them (OUT); ready() follows from the loop. */
void scsi_req_chunk(ScsiReq *req, uint8_t *buf, size_t len);
/* Shows len bytes of IN data that ops->read() will put straight where they go. */
void scsi_req_direct(ScsiReq *req, size_t len);
/* The whole answer: len bytes are copied, cut to alloc, the initiator's allocation length; a
 * shorter answer is followed by zeros up to alloc (but no further than 4 KiB), since firmware
 * moves a fixed number of bytes and takes a phase change for an error. GOOD once it is taken. */
void scsi_req_reply(ScsiReq *req, const void *data, size_t len, uint64_t alloc);
/* Fetches len bytes (not 0) of parameter list into req->mem, then calls fn from the loop's thread,
 * which finishes the request now or later. */
void scsi_req_params(ScsiReq *req, size_t len, void (*fn)(ScsiDev *dev, ScsiReq *req));
/* Status GOOD, or CHECK CONDITION with sense; done() follows from the loop. */
void scsi_req_good(ScsiReq *req);
void scsi_req_check(ScsiReq *req, uint8_t key, uint8_t asc, uint8_t ascq);
void scsi_req_finish(ScsiReq *req, uint8_t status);
void scsi_unit_attention(ScsiDev *dev, uint8_t asc, uint8_t ascq);
/* The oldest unit attention, taken off the list; false if there is none. */
bool scsi_take_attention(ScsiDev *dev, ScsiSense *sense);

#endif
