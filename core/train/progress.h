/* The progress of a run, shown as Keras does: a bar redrawn in a terminal, whole lines anywhere else. */
#ifndef CNN_TRAIN_PROGRESS_H
#define CNN_TRAIN_PROGRESS_H

#include "train/callback.h"

typedef struct cnn_progress {
    FILE *log;   /* NULL: nothing is shown */
    int verbose; /* 0, 1, 2 */
    bool terminal;
    int steps, done;          /* of this run */
    double start, last_drawn; /* seconds */
    bool bar_open;
} cnn_progress;

cnn_progress cnn_progress_new(FILE *log, int verbose);
void cnn_progress_epoch(cnn_progress *p, int epoch, int epochs); /* "Epoch 1/5" */
void cnn_progress_begin(cnn_progress *p, int steps);
void cnn_progress_step(cnn_progress *p, int done, const cnn_logs *logs);
/* The final line, with all figures. */
void cnn_progress_end(cnn_progress *p, const cnn_logs *logs);
/* Leaves the bar as it stands and begins a new line, for other messages or an early end. */
void cnn_progress_break(cnn_progress *p);

#endif
