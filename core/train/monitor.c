/* Keras 3's rules and words (keras.src.callbacks). */
#include "train/monitor.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Figures whose names end so are better when higher, as are all with "acc" or "auc" in them. */
static const char *const rising[] = {"precision", "recall", "f1_score", "fbeta_score", "cosine_similarity",
                                     "mean_io_u", "_iou",   "r2_score", "specificity", "sensitivity"};

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

bool cnn_monitor_rises(const char *monitor, int mode) {
    if (mode != CNN_MODE_AUTO) return mode == CNN_MODE_MAX;
    if (strstr(monitor, "acc") || strstr(monitor, "auc")) return true;
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
        if (ends_with(monitor, rising[i])) return true;
    return false;
}

bool cnn_monitor_better(bool rises, double value, double best, double min_delta) {
    return rises ? value - min_delta > best : value + min_delta < best;
}

double cnn_monitor_worst(bool rises) {
    return rises ? -INFINITY : INFINITY;
}

static void warn(struct cnn_callback *callback, const char *what, const char *monitor, const cnn_logs *logs) {
    cnn_text names = {0};
    for (int i = 0; logs && i < logs->count; i++) cnn_text_add(&names, i ? ",%s" : "%s", logs->names[i]);
    char *text = cnn_text_take(&names);
    cnn_callback_say(callback,
                     "%s conditioned on metric `%s` which is not available. Available metrics are: %s", what,
                     monitor, text ? text : "");
    free(text);
}

bool cnn_monitor_value(struct cnn_callback *callback, const char *what, const char *monitor,
                       const cnn_logs *logs, bool *warned, double *value) {
    bool found;
    *value = cnn_logs_get(logs, monitor, &found);
    if (!found && !*warned) {
        *warned = true;
        warn(callback, what, monitor, logs);
    }
    return found;
}

void cnn_callback_say(const struct cnn_callback *callback, const char *format, ...) {
    FILE *log = callback->run ? callback->run->log : NULL;
    if (!log) return;
    va_list args;
    va_start(args, format);
    vfprintf(log, format, args);
    va_end(args);
    fputc('\n', log);
    fflush(log);
}
