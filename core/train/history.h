/* What fit measured: a table of figures by epoch and name. */
#ifndef CNN_TRAIN_HISTORY_H
#define CNN_TRAIN_HISTORY_H

#include "train/callback.h"

struct cnn_history {
    int count; /* of names */
    char *names[CNN_MAX_LOGS];
    int epochs, capacity;
    double *values; /* [capacity][CNN_MAX_LOGS]; NaN where a name was not logged */
};

/* Adds an epoch's logs. */
cnn_status cnn_history_add(struct cnn_history *history, const cnn_logs *logs);

#endif
