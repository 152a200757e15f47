/* Callbacks: what fit, evaluate and predict call at the events of a run, in the order they were given. */
#ifndef CNN_TRAIN_CALLBACK_H
#define CNN_TRAIN_CALLBACK_H

#include "base/config.h"

typedef enum cnn_event {
    CNN_TRAIN_BEGIN,
    CNN_TRAIN_END,
    CNN_EPOCH_BEGIN,
    CNN_EPOCH_END,
    CNN_TRAIN_BATCH_BEGIN,
    CNN_TRAIN_BATCH_END,
    CNN_TEST_BEGIN,
    CNN_TEST_END,
    CNN_TEST_BATCH_BEGIN,
    CNN_TEST_BATCH_END,
    CNN_PREDICT_BEGIN,
    CNN_PREDICT_END,
    CNN_PREDICT_BATCH_BEGIN,
    CNN_PREDICT_BATCH_END
} cnn_event;

/* Named figures, in order. */
enum { CNN_MAX_LOGS = 64 };
typedef struct cnn_logs {
    int count;
    const char *names[CNN_MAX_LOGS]; /* borrowed, valid for the run */
    double values[CNN_MAX_LOGS];
} cnn_logs;

/* NaN and *found = false where there is none of that name. */
double cnn_logs_get(const cnn_logs *logs, const char *name, bool *found);

/* What a callback may do to the run; fit fills it in. */
typedef struct cnn_run_control {
    struct cnn_model *model;
    struct cnn_optimizer *optimizer; /* NULL in evaluate and predict of a model not compiled */
    int epochs;
    bool stop_training;
    FILE *log; /* where messages go; may be NULL */
    /* All weights, trainable and not, as one block of floats owned by the caller (cnn_free); and back. */
    cnn_status (*save_weights)(struct cnn_model *model, float **weights);
    void (*restore_weights)(struct cnn_model *model, const float *weights);
} cnn_run_control;

typedef struct cnn_callback_class {
    cnn_class class;
    /* What the table of arguments cannot say about them, once they are read; may be NULL. */
    cnn_status (*check)(const struct cnn_callback *callback);
    /* index: the epoch (from 0) or batch. logs: may be NULL at _BEGIN events; a callback may add to them. */
    cnn_status (*on)(struct cnn_callback *callback, cnn_event event, int index, cnn_logs *logs);
    void (*close)(
        struct cnn_callback *callback); /* before it is freed: release what is not in params; may be NULL */
} cnn_callback_class;

/* The head of every callback's struct. */
struct cnn_callback {
    const cnn_class *class; /* a cnn_callback_class */
    cnn_run_control *run;   /* set for the length of a run */
};

extern const cnn_class
    *const cnn_callbacks[]; /* EarlyStopping, ReduceLROnPlateau, CSVLogger, TerminateOnNaN */

cnn_status cnn_callbacks_call(struct cnn_callback *const *callbacks, int count, cnn_event event, int index,
                              cnn_logs *logs);

#endif
