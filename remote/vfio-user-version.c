/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VERSION's data: JSON text with the capabilities of each end. All keys are optional, unknown ones
 * are ignored, and so is the whole text if it isn't there; what has the wrong type is refused.
 *
 * The only capability of the client that changes anything here is write_multiple: this server
 * sends neither descriptors nor requests, so the client's limits for those don't concern it.
 *
 * The text comes from a stranger. It is short (the message's limit), and its nesting is counted
 * before Jansson sees it, which recurses. Any thread.
 */
#include "remote/vfio-user-internal.h"
#include <jansson.h>
#include <string.h>

#define DEPTH_MAX 8

/* Brackets inside strings don't count. Whether they match is Jansson's affair. */
static bool depth_ok(const char *json)
{
    bool in_string = false;
    unsigned depth = 0;

    for (const char *c = json; *c; c++) {
        if (in_string) {
            if (*c == '\\' && c[1]) {
                c++;
            } else if (*c == '"') {
                in_string = false;
            }
        } else if (*c == '"') {
            in_string = true;
        } else if ((*c == '{' || *c == '[') && ++depth > DEPTH_MAX) {
            return false;
        } else if ((*c == '}' || *c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static bool capabilities_ok(const json_t *caps, const char **why)
{
    static const char *const numbers[] = { "max_msg_fds", "max_data_xfer_size", "max_dma_maps",
                                           "pgsizes" };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const json_t *value = json_object_get(caps, numbers[i]);

        if (value && (!json_is_integer(value) || json_integer_value(value) < 0)) {
            *why = "a capability is no number";
            return false;
        }
    }
    return true;
}

static bool take_capabilities(const json_t *root, bool *write_multiple, const char **why)
{
    const json_t *caps = json_object_get(root, "capabilities");
    const json_t *multi = json_object_get(caps, "write_multiple");

    if (!caps) {
        return true;
    }
    if (!json_is_object(caps)) {
        *why = "capabilities are no object";
        return false;
    }
    if (multi && !json_is_boolean(multi)) {
        *why = "write_multiple is no boolean";
        return false;
    }
    *write_multiple = json_is_true(multi);
    return capabilities_ok(caps, why);
}

bool vfu_version_parse(const char *json, size_t len, bool *write_multiple, const char **why)
{
    json_t *root;
    bool ok;

    *write_multiple = false;
    if (memchr(json, 0, len) != json + len - 1) {
        *why = "version data is not ended by a NUL";
        return false;
    }
    if (!depth_ok(json)) {
        *why = "version data is nested too deep";
        return false;
    }
    root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        *why = "version data is no JSON object";
        json_decref(root);
        return false;
    }
    ok = take_capabilities(root, write_multiple, why);
    json_decref(root);
    return ok;
}

#define TEXT(more)                                                                                 \
    "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"                        \
    "\"max_dma_maps\":8192,\"migration\":{\"pgsize\":4096}" more "}}"

const char *vfu_version_text(bool write_multiple)
{
    static const char plain[] = TEXT(""), multi[] = TEXT(",\"write_multiple\":true");

    static_assert(VFU_MAX_MSG_FDS == 16 && VFU_MAX_DATA == 1048576 && VFU_MAX_DMA_MAPS == 8192 &&
                      VFU_PAGE_SIZE == 4096,
                  "as the text says");
    /* QEMU 11.1 receives the answer in the room of its request, 214 bytes. */
    static_assert(sizeof(VfuHeader) + sizeof(VfuVersion) + sizeof(multi) <= 214, "VERSION's room");
    return write_multiple ? multi : plain;
}
