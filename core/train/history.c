#include "train/history.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
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

double cnn_history_seconds(const cnn_history *history) {
    return history->seconds;
}

double cnn_history_waited(const cnn_history *history) {
    return history->waited;
}

/* ---- files --------------------------------------------------------------------------------------------- */

/* A name as CSV wants it: in quotes where it would break the line up. */
static void write_csv_name(FILE *file, const char *name) {
    if (!name[strcspn(name, ",\"\r\n")]) {
        fputs(name, file);
        return;
    }
    fputc('"', file);
    for (; *name; name++) fprintf(file, *name == '"' ? "\"\"" : "%c", *name);
    fputc('"', file);
}

static void write_csv(FILE *file, const cnn_history *h) {
    char text[CNN_NUMBER_TEXT];
    fputs("epoch", file);
    for (int i = 0; i < h->count; i++) {
        fputc(',', file);
        write_csv_name(file, h->names[i]);
    }
    for (int epoch = 0; epoch < h->epochs; epoch++) {
        fprintf(file, "\n%d", h->first_epoch + epoch + 1);
        for (int i = 0; i < h->count; i++) {
            bool logged = cnn_history_has(h, i, epoch);
            fprintf(file, ",%s", logged ? cnn_number_text(text, cnn_history_value(h, i, epoch)) : "");
        }
    }
    fputc('\n', file);
}

static void write_json_name(FILE *file, const char *name) {
    fputc('"', file);
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (c < ' ')
            fprintf(file, "\\u%04x", c);
        else
            fprintf(file, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputc('"', file);
}

/* JSON has no infinity, but numbers so large that they are read as one. */
static void write_json_number(FILE *file, double value) {
    char text[CNN_NUMBER_TEXT];
    if (isinf(value))
        fputs(value > 0 ? "1e999" : "-1e999", file);
    else
        fputs(isnan(value) ? "null" : cnn_number_text(text, value), file);
}

static void write_json(FILE *file, const cnn_history *h) {
    fputs("{\"epoch\": [", file);
    for (int epoch = 0; epoch < h->epochs; epoch++)
        fprintf(file, epoch ? ", %d" : "%d", h->first_epoch + epoch + 1);
    fputs("],\n \"history\": {", file);
    for (int i = 0; i < h->count; i++) {
        fputs(i ? ",\n  " : "\n  ", file);
        write_json_name(file, h->names[i]);
        fputs(": [", file);
        for (int epoch = 0; epoch < h->epochs; epoch++) {
            if (epoch) fputs(", ", file);
            write_json_number(file, cnn_history_value(h, i, epoch));
        }
        fputc(']', file);
    }
    fputs("}}\n", file);
}

cnn_status cnn_history_save(const cnn_history *history, const char *path) {
    const char *ending = strrchr(path, '.');
    bool csv = ending && strcmp(ending, ".csv") == 0, json = ending && strcmp(ending, ".json") == 0;
    if (!csv && !json)
        return cnn_fail(CNN_ERROR_ARGUMENT, "history: the name must end in .csv or .json, got '%s'", path);
    cnn_file file;
    cnn_status status = cnn_file_create(&file, path);
    if (status == CNN_OK) {
        (csv ? write_csv : write_json)(file.stream, history);
        status = cnn_file_commit(&file);
    }
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "history");
}
