/* What callbacks that watch one figure have in common: which way is better, its value, and words for the
 * user. */
#ifndef CNN_TRAIN_MONITOR_H
#define CNN_TRAIN_MONITOR_H

#include "train/callback.h"

enum { CNN_MODE_AUTO, CNN_MODE_MIN, CNN_MODE_MAX };
#define CNN_MODE_CHOICES "auto min max"

/* True when higher is better: by the mode or, if that is auto, by the monitored figure's name. */
bool cnn_monitor_rises(const char *monitor, int mode);

/* value is better than best by more than min_delta. Nothing that is not a number is. */
bool cnn_monitor_better(bool rises, double value, double best, double min_delta);

/* The worst value there is. */
double cnn_monitor_worst(bool rises);

/* Finds the figure in logs. If it is not there, says so once, `what` being conditioned on it, and returns
 * false. */
bool cnn_monitor_value(struct cnn_callback *callback, const char *what, const char *monitor,
                       const cnn_logs *logs, bool *warned, double *value);

/* A line in the run's log, if there is one. */
void cnn_callback_say(const struct cnn_callback *callback, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
