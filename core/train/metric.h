/* Metrics: running figures over the samples seen since the last reset. */
#ifndef CNN_TRAIN_METRIC_H
#define CNN_TRAIN_METRIC_H

#include "base/config.h"
#include "tensor/tensor.h"

typedef struct cnn_metric cnn_metric;

/* What y_true and y_pred look like to each other. */
typedef enum cnn_metric_shapes {
    CNN_METRIC_ELEMENTS, /* the same shape, but that a last size of 1 may be left out on one side */
    CNN_METRIC_CLASSES,  /* the same shape [N,…,C]: one-hot labels */
    CNN_METRIC_LABELS, /* y_true [N,…] or [N,…,1] holds positions in the last axis of y_pred [N,…,C] */
    CNN_METRIC_VALUES  /* y_true alone, of any shape; y_pred is not looked at */
} cnn_metric_shapes;

/* What update is given. A row is a vector along the last axis of y_pred, or one number where y_pred is [N]; weights
 * go by samples. */
typedef struct cnn_metric_batch {
    const cnn_tensor *y_true, *y_pred;
    const float *weight;   /* [samples] or NULL */
    int64_t samples, rows; /* rows of one sample */
    int64_t width;         /* elements of a row */
} cnn_metric_batch;

typedef struct cnn_metric_class {
    cnn_class class;
    cnn_metric_shapes shapes;
    /* After the arguments have been read: checks them further, makes state; may be NULL. */
    cnn_status (*open)(cnn_metric *metric);
    void (*close)(cnn_metric *metric); /* frees that state; may be NULL */
    /* A metric that is a mean has `row` alone, the figure of row number `row` of the batch; sums over rows, samples
     * and weights are made for it. Others have reset and update. */
    double (*row)(const cnn_metric *metric, const cnn_metric_batch *batch, int64_t row);
    void (*reset)(cnn_metric *metric);
    cnn_status (*update)(cnn_metric *metric, const cnn_metric_batch *batch);
    /* Writes at most `capacity` figures and returns how many there are. NULL: one, total / weight. */
    int (*results)(const cnn_metric *metric, double *values, int capacity);
    /* Its state, for cnn_metric_part. NULL: total and weight. */
    double *(*part)(cnn_metric *metric, int number, int *count);
} cnn_metric_class;

struct cnn_metric {
    const cnn_class *class; /* a cnn_metric_class */
    char *name;             /* "accuracy" */
    cJSON *dtype;           /* read for Keras's sake; figures are double */
    double total, weight;   /* a mean's state, for the metrics that are one */
};

/* The arguments all metrics share, for their tables. */
#define CNN_METRIC_NAME                                                                                      \
    CNN_PARAM(STRING, cnn_metric, name, "null", .help = "name in logs and history"),                         \
        CNN_PARAM(JSON, cnn_metric, dtype, "null", .derived = true,                                          \
                  .help = "without effect: figures are summed in double precision")

extern const cnn_class *const cnn_metrics[];

/* spec: a name or {"class_name", "config"}. "accuracy" and "acc" (and "crossentropy", "ce") become the kind that fits
 * predictions of shape pred (rank and sizes, first ignored) and the loss, as Keras chooses: binary where the last size
 * is 1, sparse categorical where the labels are positions (label_rank < pred rank or last label size 1), else
 * categorical. The metric keeps the name that was asked for. Both tensors may be symbolic, or NULL where the metric
 * does not depend on them. */
cnn_status cnn_metric_new(cnn_metric **out, const cJSON *spec, const cnn_tensor *prediction,
                          const cnn_tensor *label);
void cnn_metric_free(cnn_metric *metric);
void cnn_metric_reset(cnn_metric *metric);
cnn_status cnn_metric_update(cnn_metric *metric, const cnn_tensor *y_true, const cnn_tensor *y_pred,
                             const float *weight);
double cnn_metric_result(const cnn_metric *metric);
/* All figures of a metric that has several (Precision at a list of thresholds), of which result is the first: writes at
 * most `capacity` and returns how many there are. */
int cnn_metric_results(const cnn_metric *metric, double *values, int capacity);

/* What the metric has summed up, to be read or written, in parts 0, 1, … of *count numbers each; NULL after the last. */
double *cnn_metric_part(cnn_metric *metric, int number, int *count);

/* For metrics: the element at a flat position; and the position of the first maximum of a row of `width` elements that
 * begins there, -1 where one is not a number. */
double cnn_metric_value(const cnn_tensor *tensor, int64_t position);
int64_t cnn_metric_argmax(const cnn_tensor *tensor, int64_t start, int64_t width);
/* The whole number at that position if it is in [0, classes), else -1. */
int64_t cnn_metric_label(const cnn_tensor *tensor, int64_t position, int64_t classes);

#endif
