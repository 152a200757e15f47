/* Accuracies: the share of right predictions, defined as in Keras 3 (keras.src.metrics.accuracy_metrics).
 * A prediction that is not a number is wrong, and so is one for a label that names no class. */
#include "train/metric.h"
#include "base/status.h"

#include <math.h>

/* ---- elements that are equal -----------------------------------------------------------------------------
 */

static double equal_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    int64_t right = 0;
    (void)metric;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++)
        right += cnn_metric_value(b->y_true, i) == cnn_metric_value(b->y_pred, i);
    return (double)right / (double)b->width;
}

static const cnn_param plain_params[] = {CNN_METRIC_NAME, {0}};

extern const cnn_metric_class cnn_metric_accuracy;
/*** How often predictions equal labels, element by element.
It compares numbers as they are. In compile, "accuracy" means the one that fits the model instead: BinaryAccuracy,
CategoricalAccuracy or SparseCategoricalAccuracy.
@class cnn.metrics.Accuracy
@raise shapes that differ
@usage
cnn.metrics.Accuracy{}({1, 2, 3, 4}, {1, 2, 0, 4})  --> 0.75
*/
const cnn_metric_class cnn_metric_accuracy = {
    .class = CNN_CLASS("metric", "Accuracy", "acc", cnn_metric, plain_params),
    .shapes = CNN_METRIC_ELEMENTS,
    .row = equal_row};

/* ---- elements on the right side of a threshold -----------------------------------------------------------
 */

typedef struct binary_accuracy {
    cnn_metric head;
    double threshold;
} binary_accuracy;

static cnn_status binary_open(cnn_metric *metric) {
    double threshold = ((const binary_accuracy *)metric)->threshold;
    if (threshold > 0 && threshold < 1) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "BinaryAccuracy: 'threshold' must lie between 0 and 1, got %g",
                    threshold);
}

static double binary_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    double threshold =
        (float)((const binary_accuracy *)metric)->threshold; /* in the precision of predictions */
    int64_t right = 0;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++) {
        double prediction = cnn_metric_value(b->y_pred, i);
        right += !isnan(prediction) && cnn_metric_value(b->y_true, i) == (prediction > threshold);
    }
    return (double)right / (double)b->width;
}

static const cnn_param binary_params[] = {
    CNN_METRIC_NAME,
    CNN_PARAM(FLOAT, binary_accuracy, threshold, "0.5", .help = "predictions above it mean 1, others 0"),
    {0}};

extern const cnn_metric_class cnn_metric_binary_accuracy;
/*** How often predictions above a threshold have the label 1 and the others 0.

y_true and y_pred have the same shape; each element counts.
@class cnn.metrics.BinaryAccuracy
@raise a threshold that is not between 0 and 1; shapes that differ
@usage
accuracy = cnn.metrics.BinaryAccuracy{}
accuracy({1, 1, 0, 0}, {0.9, 0.4, 0.2, 0.7})  --> 0.5
cnn.metrics.BinaryAccuracy{threshold = 0.3}({1, 1, 0, 0}, {0.9, 0.4, 0.2, 0.7})  --> 0.75
*/
const cnn_metric_class cnn_metric_binary_accuracy = {
    .class = CNN_CLASS("metric", "BinaryAccuracy", NULL, binary_accuracy, binary_params),
    .shapes = CNN_METRIC_ELEMENTS,
    .open = binary_open,
    .row = binary_row};

/* ---- the highest of several classes ----------------------------------------------------------------------
 */

static double categorical_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    (void)metric;
    int64_t label = cnn_metric_argmax(b->y_true, row * b->width, b->width);
    return label >= 0 && cnn_metric_argmax(b->y_pred, row * b->width, b->width) == label;
}

extern const cnn_metric_class cnn_metric_categorical_accuracy;
/*** How often the likeliest class is that of the one-hot label.

y_true and y_pred are [N,…,classes]. Probabilities or logits: the highest counts.
@class cnn.metrics.CategoricalAccuracy
@raise shapes that differ
@usage
accuracy = cnn.metrics.CategoricalAccuracy{}
accuracy:update_state({{0, 1}, {1, 0}}, {{0.3, 0.7}, {0.2, 0.8}})
accuracy:result()  --> 0.5
accuracy:update_state({{0, 1}, {0, 1}}, {{0.1, 0.9}, {0.4, 0.6}})
accuracy:result()  --> 0.75
*/
const cnn_metric_class cnn_metric_categorical_accuracy = {
    .class = CNN_CLASS("metric", "CategoricalAccuracy", NULL, cnn_metric, plain_params),
    .shapes = CNN_METRIC_CLASSES,
    .row = categorical_row};

static double sparse_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    (void)metric;
    int64_t label = cnn_metric_label(b->y_true, row, b->width);
    return label >= 0 && cnn_metric_argmax(b->y_pred, row * b->width, b->width) == label;
}

extern const cnn_metric_class cnn_metric_sparse_categorical_accuracy;
/*** How often the likeliest class is the labelled one.

y_true [N,…] has numbers of classes from 0, y_pred [N,…,classes] probabilities or logits.
@class cnn.metrics.SparseCategoricalAccuracy
@raise shapes that do not fit
@usage
cnn.metrics.SparseCategoricalAccuracy{}({1, 0, 1}, {{0.3, 0.7}, {0.2, 0.8}, {0.4, 0.6}})
--> 0.66666666666667
*/
const cnn_metric_class cnn_metric_sparse_categorical_accuracy = {
    .class = CNN_CLASS("metric", "SparseCategoricalAccuracy", NULL, cnn_metric, plain_params),
    .shapes = CNN_METRIC_LABELS,
    .row = sparse_row};

/* ---- among the k highest ---------------------------------------------------------------------------------
 */

typedef struct top_k_accuracy {
    cnn_metric head;
    int k;
} top_k_accuracy;

/* Fewer than k classes are more likely, so equals share a place, as in ops.in_top_k. */
static bool in_top_k(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row, int64_t label) {
    if (label < 0 || cnn_metric_argmax(b->y_pred, row * b->width, b->width) < 0) return false;
    double own = cnn_metric_value(b->y_pred, row * b->width + label);
    int64_t higher = 0;
    for (int64_t i = 0; i < b->width; i++) higher += cnn_metric_value(b->y_pred, row * b->width + i) > own;
    return higher < ((const top_k_accuracy *)metric)->k;
}

static double top_k_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    return in_top_k(metric, b, row, cnn_metric_argmax(b->y_true, row * b->width, b->width));
}

static double sparse_top_k_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    return in_top_k(metric, b, row, cnn_metric_label(b->y_true, row, b->width));
}

static const cnn_param top_k_params[] = {
    CNN_PARAM(INT, top_k_accuracy, k, "5", .low = 1, .help = "how many of the likeliest count"),
    CNN_METRIC_NAME,
    {0}};

extern const cnn_metric_class cnn_metric_top_k_categorical_accuracy;
/*** How often the class of the one-hot label is among the k likeliest.

y_true and y_pred are [N,…,classes].
@class cnn.metrics.TopKCategoricalAccuracy
@raise shapes that differ
@usage
cnn.metrics.TopKCategoricalAccuracy{k = 2}({{0, 1, 0}, {1, 0, 0}}, {{0.5, 0.3, 0.2}, {0.1, 0.7, 0.2}})
--> 0.5
*/
const cnn_metric_class cnn_metric_top_k_categorical_accuracy = {
    .class = CNN_CLASS("metric", "TopKCategoricalAccuracy", NULL, top_k_accuracy, top_k_params),
    .shapes = CNN_METRIC_CLASSES,
    .row = top_k_row};

extern const cnn_metric_class cnn_metric_sparse_top_k_categorical_accuracy;
/*** How often the labelled class is among the k likeliest.

y_true [N,…] has numbers of classes from 0, y_pred [N,…,classes] probabilities or logits.
@class cnn.metrics.SparseTopKCategoricalAccuracy
@raise shapes that do not fit
@usage
cnn.metrics.SparseTopKCategoricalAccuracy{k = 2}({1, 0}, {{0.5, 0.3, 0.2}, {0.1, 0.7, 0.2}})
--> 0.5
*/
const cnn_metric_class cnn_metric_sparse_top_k_categorical_accuracy = {
    .class = CNN_CLASS("metric", "SparseTopKCategoricalAccuracy", NULL, top_k_accuracy, top_k_params),
    .shapes = CNN_METRIC_LABELS,
    .row = sparse_top_k_row};
