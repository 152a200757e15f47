/* What fit measured: a table of figures by epoch and name. */
#ifndef CNN_TRAIN_HISTORY_H
#define CNN_TRAIN_HISTORY_H

#include "train/callback.h"

struct cnn_history {
    int count; /* of names */
    char *names[CNN_MAX_LOGS];
    int first_epoch; /* the number of the first, from 0 */
    int epochs, capacity;
    double *values;   /* [capacity][CNN_MAX_LOGS]; NaN where a name was not logged */
    uint64_t *logged; /* [capacity]: a bit for each name that was */
    double seconds, waited;
};

/* Whether the figure was logged in that epoch; its value may be NaN all the same. */
bool cnn_history_has(const struct cnn_history *history, int index, int epoch);

/* Adds an epoch's logs. */
cnn_status cnn_history_add(struct cnn_history *history, const cnn_logs *logs);

#endif
