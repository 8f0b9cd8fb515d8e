/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts a stream of bytes into JSON values, and reads each: the door of QMP. Main thread. */
#ifndef MONITOR_JSON_DOOR_H
#define MONITOR_JSON_DOOR_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Of one value: bytes of text, and objects and arrays inside each other. */
#define JSON_DOOR_BYTES_MAX (1u << 20)
#define JSON_DOOR_DEPTH_MAX 256

typedef struct JsonDoor {
    GByteArray *text; /* of the value that is being received */
    uint64_t depth;
    bool in_string, escaped;
    bool bare;       /* a value that is no object, array or string: up to the next separator */
    const char *bad; /* it is refused, for this reason; its text is not kept */
} JsonDoor;

void json_door_init(JsonDoor *door);
void json_door_fini(JsonDoor *door);
/* Forgets what has been received of an unfinished value. */
void json_door_reset(JsonDoor *door);
/* Takes bytes up to the end of the next value, and returns how many; len if there was none. When
 * one ended, *value is it, the caller's, or NULL with an error; else *value is NULL without one. */
size_t json_door_feed(JsonDoor *door, const uint8_t *bytes, size_t len, json_t **value,
                      GError **errp);

#endif
