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
    CNN_PREDICT_BATCH_END,
    /* Of fit alone, and for those that save and restore runs: each comes when all callbacks have seen the event that it
     * follows, so that their states belong together. */
    CNN_RESUME,     /* TRAIN_BEGIN */
    CNN_BATCH_SAVE, /* TRAIN_BATCH_END */
    CNN_EPOCH_SAVE, /* EPOCH_END, and the epoch is in the history */
    CNN_TRAIN_DONE  /* TRAIN_END */
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
    int verbose;
    FILE *log;                             /* where messages go; may be NULL */
    struct cnn_fit_state *state;           /* where the run stands; NULL in evaluate and predict */
    struct cnn_callback *const *callbacks; /* all of the run's */
    int callback_count;
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

    /* For backups of a run. All may be NULL. */
    const cnn_param *state; /* the members that make up its state */
    /* Where it holds a copy of the model's weights, cnn_malloc'ed. */
    float **(*weights)(cnn_callback *callback);
    /* Before the state is read out: brings it up to date; and after it has been put back. */
    cnn_status (*backup)(cnn_callback *callback);
    cnn_status (*restore)(cnn_callback *callback);
} cnn_callback_class;

/* The head of every callback's struct. */
struct cnn_callback {
    const cnn_class *class; /* a cnn_callback_class */
    cnn_run_control *run;   /* set for the length of a run */
};

/* EarlyStopping, ReduceLROnPlateau, CSVLogger, TerminateOnNaN, ModelCheckpoint, BackupAndRestore; NULL-terminated */
extern const cnn_class *const cnn_callbacks[];

cnn_status cnn_callbacks_call(struct cnn_callback *const *callbacks, int count, cnn_event event, int index,
                              cnn_logs *logs);

/* The state of a callback whose class has one, as JSON and from it; and where it holds weights, or NULL. */
bool cnn_callback_has_state(const struct cnn_callback *callback);
cnn_status cnn_callback_get_state(cJSON **out, struct cnn_callback *callback);
cnn_status cnn_callback_set_state(struct cnn_callback *callback, const cJSON *state);
float **cnn_callback_weights(struct cnn_callback *callback);

#endif
