/* Cross-entropies as metrics (keras.src.metrics.probabilistic_metrics): probabilities are scaled to a sum of
 * 1 and clipped to [1e-7, 1 - 1e-7] before the logarithm. A label that names no class makes the figure NaN.
 */
#include "train/metric.h"
#include "base/status.h"

#include <math.h>

typedef struct crossentropy {
    cnn_metric head;
    bool from_logits;
    double smoothing;
    int axis;
} crossentropy;

#define FROM_LOGITS                                                                                          \
    CNN_PARAM(BOOL, crossentropy, from_logits, "false", .help = "predictions are logits, not probabilities")
#define LABEL_SMOOTHING                                                                                      \
    CNN_PARAM_NAMED(FLOAT, crossentropy, smoothing, "label_smoothing", "0", .low = 0, .high = 1,             \
                    .help = "share of the label spread over all classes")
#define AXIS                                                                                                 \
    CNN_PARAM(INT, crossentropy, axis, "-1", .low = -1, .high = -1, .help = "the axis of classes: the last")

static double clipped_log(double probability) {
    const double least = 1e-7;
    if (probability < least) probability = least;
    if (probability > 1 - least) probability = 1 - least;
    return log(probability);
}

/* ---- one yes or no an element ----------------------------------------------------------------------------
 */

static double binary_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    const crossentropy *c = (const crossentropy *)metric;
    double sum = 0;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++) {
        double t = cnn_metric_value(b->y_true, i) * (1 - c->smoothing) + 0.5 * c->smoothing;
        double x = cnn_metric_value(b->y_pred, i);
        if (c->from_logits)
            sum += (x > 0 ? x : 0) - x * t + log1p(exp(-fabs(x)));
        else
            sum -= t * clipped_log(x) + (1 - t) * clipped_log(1 - x);
    }
    return sum / (double)b->width;
}

static const cnn_param binary_params[] = {CNN_METRIC_NAME, FROM_LOGITS, LABEL_SMOOTHING, {0}};

extern const cnn_metric_class cnn_metric_binary_crossentropy;
/*** The mean cross-entropy of labels of 0 and 1, as cnn.losses.BinaryCrossentropy has it.
@class cnn.metrics.BinaryCrossentropy
@raise shapes that differ
@usage
("%.4f"):format(cnn.metrics.BinaryCrossentropy{}({1, 0}, {0.5, 0.5}))  --> 0.6931
*/
const cnn_metric_class cnn_metric_binary_crossentropy = {
    .class = CNN_CLASS("metric", "BinaryCrossentropy", "bce BCE", crossentropy, binary_params),
    .shapes = CNN_METRIC_ELEMENTS,
    .row = binary_row};

/* ---- one of several classes ------------------------------------------------------------------------------
 */

/* What turns a row's values into log probabilities: their sum, or log Σ exp of logits. */
static double row_norm(const crossentropy *c, const cnn_metric_batch *b, int64_t start) {
    double sum = 0, highest = 0;
    if (c->from_logits) {
        int64_t best = cnn_metric_argmax(b->y_pred, start, b->width);
        if (best < 0) return NAN;
        highest = cnn_metric_value(b->y_pred, start + best);
    }
    for (int64_t i = 0; i < b->width; i++) {
        double x = cnn_metric_value(b->y_pred, start + i);
        sum += c->from_logits ? exp(x - highest) : x;
    }
    return c->from_logits ? highest + log(sum) : sum;
}

static double log_probability(const crossentropy *c, const cnn_metric_batch *b, int64_t position,
                              double norm) {
    double x = cnn_metric_value(b->y_pred, position);
    return c->from_logits ? x - norm : clipped_log(x / norm);
}

static double categorical_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    const crossentropy *c = (const crossentropy *)metric;
    int64_t start = row * b->width;
    double norm = row_norm(c, b, start), sum = 0;
    for (int64_t i = start; i < start + b->width; i++) {
        double t = cnn_metric_value(b->y_true, i) * (1 - c->smoothing) + c->smoothing / (double)b->width;
        if (t != 0) sum -= t * log_probability(c, b, i, norm);
    }
    return sum;
}

static const cnn_param categorical_params[] = {CNN_METRIC_NAME, FROM_LOGITS, LABEL_SMOOTHING, AXIS, {0}};

extern const cnn_metric_class cnn_metric_categorical_crossentropy;
/*** The mean cross-entropy of one-hot labels, as cnn.losses.CategoricalCrossentropy has it.
@class cnn.metrics.CategoricalCrossentropy
@raise shapes that differ
@usage
("%.4f"):format(cnn.metrics.CategoricalCrossentropy{}({{0, 1}}, {{0.5, 0.5}}))  --> 0.6931
*/
const cnn_metric_class cnn_metric_categorical_crossentropy = {
    .class = CNN_CLASS("metric", "CategoricalCrossentropy", NULL, crossentropy, categorical_params),
    .shapes = CNN_METRIC_CLASSES,
    .row = categorical_row};

static double sparse_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    const crossentropy *c = (const crossentropy *)metric;
    int64_t label = cnn_metric_label(b->y_true, row, b->width), start = row * b->width;
    return label < 0 ? NAN : -log_probability(c, b, start + label, row_norm(c, b, start));
}

static const cnn_param sparse_params[] = {CNN_METRIC_NAME, FROM_LOGITS, AXIS, {0}};

extern const cnn_metric_class cnn_metric_sparse_categorical_crossentropy;
/*** The mean cross-entropy of labels that are numbers of classes, as cnn.losses.SparseCategoricalCrossentropy has it.
A label that names no class makes the figure nan.
@class cnn.metrics.SparseCategoricalCrossentropy
@raise shapes that do not fit
@usage
("%.4f"):format(cnn.metrics.SparseCategoricalCrossentropy{}({1}, {{0.5, 0.5}}))  --> 0.6931
*/
const cnn_metric_class cnn_metric_sparse_categorical_crossentropy = {
    .class = CNN_CLASS("metric", "SparseCategoricalCrossentropy", NULL, crossentropy, sparse_params),
    .shapes = CNN_METRIC_LABELS,
    .row = sparse_row};
