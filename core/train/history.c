#include "train/history.h"
#include "base/memory.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

void cnn_history_release(cnn_history *history) {
    if (!history) return;
    for (int i = 0; i < history->count; i++) cnn_free(history->names[i]);
    cnn_free(history->values);
    cnn_free(history->logged);
    cnn_free(history);
}

static cnn_status column_of(cnn_history *h, const char *name, int *column) {
    for (*column = 0; *column < h->count; ++*column)
        if (strcmp(h->names[*column], name) == 0) return CNN_OK;
    if (h->count == CNN_MAX_LOGS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "fit: more than %d figures", CNN_MAX_LOGS);
    if (!(h->names[h->count] = cnn_strdup(name))) return cnn_fail_memory(strlen(name));
    h->count++;
    return CNN_OK;
}

static cnn_status grow(cnn_history *h) {
    int wider = h->capacity ? 2 * h->capacity : 16;
    size_t bytes = (size_t)wider * CNN_MAX_LOGS * sizeof *h->values;
    double *values = cnn_realloc(h->values, bytes);
    if (!values) return cnn_fail_memory(bytes);
    h->values = values;
    uint64_t *logged = cnn_realloc(h->logged, (size_t)wider * sizeof *logged);
    if (!logged) return cnn_fail_memory((size_t)wider * sizeof *logged);
    h->logged = logged;
    h->capacity = wider;
    return CNN_OK;
}

cnn_status cnn_history_add(cnn_history *h, const cnn_logs *logs) {
    if (h->epochs == h->capacity) CNN_TRY(grow(h));
    double *row = h->values + (size_t)h->epochs * CNN_MAX_LOGS;
    for (int i = 0; i < CNN_MAX_LOGS; i++) row[i] = NAN;
    h->logged[h->epochs] = 0;
    for (int i = 0; i < logs->count; i++) {
        int column;
        CNN_TRY(column_of(h, logs->names[i], &column));
        row[column] = logs->values[i];
        h->logged[h->epochs] |= (uint64_t)1 << column;
    }
    h->epochs++;
    return CNN_OK;
}

int cnn_history_epochs(const cnn_history *history) {
    return history->epochs;
}

int cnn_history_count(const cnn_history *history) {
    return history->count;
}

const char *cnn_history_name(const cnn_history *history, int index) {
    return index >= 0 && index < history->count ? history->names[index] : NULL;
}

bool cnn_history_has(const cnn_history *h, int index, int epoch) {
    return index >= 0 && index < h->count && epoch >= 0 && epoch < h->epochs && h->logged[epoch] >> index & 1;
}

double cnn_history_value(const cnn_history *history, int index, int epoch) {
    if (index < 0 || index >= history->count || epoch < 0 || epoch >= history->epochs) return NAN;
    return history->values[(size_t)epoch * CNN_MAX_LOGS + index];
}
