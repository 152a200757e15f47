/* A model while it is read from JSON: what the file of layers and the file of calls share. */
#ifndef CNN_MODEL_DRAFT_H
#define CNN_MODEL_DRAFT_H

#include "model/config.h"

#include <string.h>

typedef struct cnn_reader {
    const cnn_load_options *options; /* may be NULL */
    int depth, layers_left;
    int64_t calls_left;
} cnn_reader;

/* A layer in a model's list. */
typedef struct cnn_entry {
    const cJSON *json;
    const char *name; /* by which calls refer to it; NULL in a Sequential that does not say */
    cnn_layer *layer; /* NULL if it cannot be made */
    int64_t cost;     /* calls of layers in one call of it */
    int first_call, n_calls;
    int lowest;         /* of its calls that lists refer to */
    bool called_before; /* its first call in lists is number 1: it was called once when it was made */
} cnn_entry;

/* A model being read. */
typedef struct cnn_draft {
    cnn_reader *reader;
    const char *name; /* NULL if it has none */
    int count;
    cnn_entry *entries;
} cnn_draft;

/* Counts calls of layers to come, an error where they are too many in all. */
cnn_status cnn_draft_expect_calls(cnn_reader *r, int64_t cost, int64_t *total);

/* The functional model of the layers, wired as its config says. Adds to *cost. */
cnn_status cnn_draft_wire(cnn_model **out, cnn_draft *d, const cJSON *config, int64_t *cost);

/* ---- JSON that may be anything ---------------------------------------------------------------------------- */

static inline bool cnn_json_is(const cJSON *text, const char *expected) {
    return cJSON_IsString(text) && strcmp(text->valuestring, expected) == 0;
}

static inline const cJSON *cnn_json_get(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static inline const char *cnn_json_text(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cnn_json_get(object, key));
}

static inline bool cnn_json_whole(const cJSON *json, int *number) {
    if (!cJSON_IsNumber(json) || json->valuedouble != json->valueint) return false;
    *number = json->valueint;
    return true;
}

#endif
