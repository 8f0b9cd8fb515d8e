/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streaming JSON. A client sends one value after another, with or without white space in between,
 * in pieces of any size. Where a value ends can be told without understanding it: an object or
 * array when as many brackets have closed as have opened, not counting those in strings, and
 * anything else at the next separator. So only whole values reach the parser (Jansson), and one
 * that is nonsense inside does not cost the next one: the stream is in step again behind it.
 *
 * Bounded: a value that is too long or too deep is swallowed to its end without being kept, and
 * reported once. A control character in a string, which JSON has not, ends the value there, so that
 * a quote that was forgotten costs no more than its line. Byte 0xff, which no UTF-8 has, does so
 * anywhere: a client sends it to start anew (as with QEMU).
 *
 * Main thread.
 */
#include "json-door.h"
#include "util/error.h"
#include <string.h>

#define RESET_BYTE 0xff

void json_door_init(JsonDoor *door)
{
    *door = (JsonDoor){ .text = g_byte_array_new() };
}

void json_door_fini(JsonDoor *door)
{
    g_byte_array_unref(door->text);
    door->text = NULL;
}

void json_door_reset(JsonDoor *door)
{
    g_byte_array_set_size(door->text, 0);
    door->depth = 0;
    door->in_string = door->escaped = door->bare = false;
    door->bad = NULL;
}

static bool inside(const JsonDoor *door)
{
    return door->depth || door->in_string || door->bare;
}

static bool is_space(uint8_t byte)
{
    return byte && strchr(" \t\r\n", byte);
}

static void refuse(JsonDoor *door, const char *why)
{
    if (!door->bad) {
        door->bad = why;
        g_byte_array_set_size(door->text, 0);
    }
}

static void keep(JsonDoor *door, uint8_t byte)
{
    if (door->text->len >= JSON_DOOR_BYTES_MAX) {
        refuse(door, "JSON token size limit exceeded");
    }
    if (!door->bad) {
        g_byte_array_append(door->text, &byte, 1);
    }
}

/* What a byte does to where we are; true if the value ends with it. */
static bool step_string(JsonDoor *door, uint8_t byte)
{
    if (byte < 0x20) {
        refuse(door, "JSON parse error, invalid control character in string");
        return true;
    }
    if (door->escaped) {
        door->escaped = false;
    } else if (byte == '\\') {
        door->escaped = true;
    } else if (byte == '"') {
        door->in_string = false;
    }
    return !inside(door);
}

static bool step(JsonDoor *door, uint8_t byte)
{
    if (byte == RESET_BYTE) {
        refuse(door, "JSON parse error, stray byte 0xff");
        return true;
    }
    if (door->in_string) {
        return step_string(door, byte);
    }
    switch (byte) {
    case '"':
        door->in_string = true;
        return false;
    case '{':
    case '[':
        if (++door->depth > JSON_DOOR_DEPTH_MAX) {
            refuse(door, "JSON nesting depth limit exceeded");
        }
        return false;
    case '}':
    case ']':
        door->depth -= door->depth > 0;
        return door->depth == 0;
    default:
        door->bare |= door->depth == 0;
        return false;
    }
}

/* Does a value that is no bracketed one end before this byte? */
static bool ends_bare(const JsonDoor *door, uint8_t byte)
{
    return door->bare && (is_space(byte) || memchr("{[\"", byte, 3) || byte == RESET_BYTE);
}

static json_t *finish(JsonDoor *door, GError **errp)
{
    json_t *value = NULL;
    json_error_t where;

    if (door->bad) {
        error_set(errp, "%s", door->bad);
    } else {
        value = json_loadb((const char *)door->text->data, door->text->len,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
        if (!value) {
            error_set(errp, "JSON parse error, %s", where.text);
        }
    }
    json_door_reset(door);
    return value;
}

size_t json_door_feed(JsonDoor *door, const uint8_t *bytes, size_t len, json_t **value,
                      GError **errp)
{
    *value = NULL;
    for (size_t i = 0; i < len; i++) {
        bool whole;

        if (!inside(door) && is_space(bytes[i])) {
            continue;
        }
        if (ends_bare(door, bytes[i])) {
            *value = finish(door, errp);
            return i;
        }
        keep(door, bytes[i]);
        whole = step(door, bytes[i]);
        if (whole) {
            *value = finish(door, errp);
            return i + 1;
        }
    }
    return len;
}
