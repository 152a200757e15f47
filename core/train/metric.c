/* What all metrics share: their list, which of them "accuracy" is, the check of shapes, and weighted means.
 *
 * As in Keras 3 (keras.src.metrics), a mean is taken over a sample's rows first and then over samples, each
 * counting with its weight. Sums are kept in double precision and added in the order of the samples. */
#include "train/metric.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <string.h>
#include <strings.h>

extern const cnn_metric_class cnn_metric_accuracy, cnn_metric_binary_accuracy,
    cnn_metric_categorical_accuracy, cnn_metric_sparse_categorical_accuracy,
    cnn_metric_top_k_categorical_accuracy, cnn_metric_sparse_top_k_categorical_accuracy, cnn_metric_precision,
    cnn_metric_recall, cnn_metric_auc, cnn_metric_mean, cnn_metric_mean_squared_error,
    cnn_metric_mean_absolute_error, cnn_metric_root_mean_squared_error, cnn_metric_binary_crossentropy,
    cnn_metric_categorical_crossentropy, cnn_metric_sparse_categorical_crossentropy;

const cnn_class *const cnn_metrics[] = {&cnn_metric_accuracy.class,
                                        &cnn_metric_binary_accuracy.class,
                                        &cnn_metric_categorical_accuracy.class,
                                        &cnn_metric_sparse_categorical_accuracy.class,
                                        &cnn_metric_top_k_categorical_accuracy.class,
                                        &cnn_metric_sparse_top_k_categorical_accuracy.class,
                                        &cnn_metric_precision.class,
                                        &cnn_metric_recall.class,
                                        &cnn_metric_auc.class,
                                        &cnn_metric_mean.class,
                                        &cnn_metric_mean_squared_error.class,
                                        &cnn_metric_mean_absolute_error.class,
                                        &cnn_metric_root_mean_squared_error.class,
                                        &cnn_metric_binary_crossentropy.class,
                                        &cnn_metric_categorical_crossentropy.class,
                                        &cnn_metric_sparse_categorical_crossentropy.class,
                                        NULL};

static const cnn_metric_class *class_of(const cnn_metric *metric) {
    return (const cnn_metric_class *)metric->class;
}

/* ---- making ----------------------------------------------------------------------------------------------
 */

/* Which of three classes stands behind a name like "accuracy": keras.src.trainers.compile_utils.get_metric.
 */
static const cnn_class *fitting(const cnn_class *const kinds[3], const cnn_tensor *prediction,
                                const cnn_tensor *label) {
    enum { BINARY, SPARSE, CATEGORICAL };
    if (prediction->rank < 2 || prediction->shape[prediction->rank - 1] == 1) return kinds[BINARY];
    bool positions = label->rank < prediction->rank || label->shape[label->rank - 1] == 1;
    return kinds[positions ? SPARSE : CATEGORICAL];
}

static const cnn_class *class_for_shapes(const char *name, const cnn_tensor *prediction,
                                         const cnn_tensor *label) {
    static const cnn_class *const accuracies[] = {&cnn_metric_binary_accuracy.class,
                                                  &cnn_metric_sparse_categorical_accuracy.class,
                                                  &cnn_metric_categorical_accuracy.class};
    static const cnn_class *const crossentropies[] = {&cnn_metric_binary_crossentropy.class,
                                                      &cnn_metric_sparse_categorical_crossentropy.class,
                                                      &cnn_metric_categorical_crossentropy.class};
    if (!prediction || !label) return NULL;
    if (strcasecmp(name, "accuracy") == 0 || strcasecmp(name, "acc") == 0)
        return fitting(accuracies, prediction, label);
    if (strcasecmp(name, "crossentropy") == 0 || strcasecmp(name, "ce") == 0)
        return fitting(crossentropies, prediction, label);
    return NULL;
}

/* Gives the metric the name it was asked for by, or that of its class, in Keras's spelling. */
static cnn_status name_it(cnn_metric *metric, const char *asked) {
    char name[64];
    if (metric->name) return CNN_OK;
    cnn_snake_case(name, sizeof name, asked ? asked : metric->class->name);
    metric->name = cnn_strdup(name);
    return metric->name ? CNN_OK : cnn_fail_memory(strlen(name) + 1);
}

static cnn_status prepare(cnn_metric *metric, const char *asked) {
    CNN_TRY(name_it(metric, asked));
    if (class_of(metric)->open) CNN_TRY(class_of(metric)->open(metric));
    cnn_metric_reset(metric);
    return CNN_OK;
}

cnn_status cnn_metric_new(cnn_metric **out, const cJSON *spec, const cnn_tensor *prediction,
                          const cnn_tensor *label) {
    const char *asked = cJSON_IsString(spec) ? spec->valuestring : NULL;
    const cnn_class *class = asked ? class_for_shapes(asked, prediction, label) : NULL;
    void *made;
    if (class)
        CNN_TRY(cnn_object_new(&made, class, NULL));
    else
        CNN_TRY(cnn_object_from(&made, cnn_metrics, spec));
    cnn_status status = prepare(made, asked);
    if (status != CNN_OK)
        cnn_metric_free(made);
    else
        *out = made;
    return status;
}

void cnn_metric_free(cnn_metric *metric) {
    if (!metric) return;
    if (class_of(metric)->close) class_of(metric)->close(metric);
    cnn_object_free(metric);
}

/* ---- shapes ----------------------------------------------------------------------------------------------
 */

/* True when t has the first `rank` sizes, and beyond them at most one size of 1. */
static bool begins_with(const cnn_tensor *t, int rank, const int64_t *shape) {
    if (t->rank != rank && !(t->rank == rank + 1 && t->shape[rank] == 1)) return false;
    for (int i = 0; i < rank; i++)
        if (t->shape[i] != shape[i]) return false;
    return true;
}

static bool shapes_fit(cnn_metric_shapes shapes, const cnn_tensor *y_true, const cnn_tensor *y_pred) {
    int rank = y_pred->rank;
    switch (shapes) {
    case CNN_METRIC_ELEMENTS:
        return rank >= 1 && y_true->rank >= 1 &&
               (begins_with(y_true, rank, y_pred->shape) || begins_with(y_pred, y_true->rank, y_true->shape));
    case CNN_METRIC_CLASSES:
        return rank >= 2 && y_true->rank == rank && begins_with(y_true, rank, y_pred->shape);
    case CNN_METRIC_LABELS:
        return rank >= 2 && begins_with(y_true, rank - 1, y_pred->shape);
    case CNN_METRIC_VALUES:
        break;
    }
    return true;
}

static cnn_status shape_error(const cnn_metric *metric, const cnn_tensor *y_true, const cnn_tensor *y_pred) {
    static const char *const expected[] = {
        [CNN_METRIC_ELEMENTS] = "y_true and y_pred must have the same shape",
        [CNN_METRIC_CLASSES] = "y_true (one-hot) and y_pred must have the same shape [N,...,classes]",
        [CNN_METRIC_LABELS] =
            "y_true (labels) must have the shape of y_pred [N,...,classes] without its last axis"};
    char a[CNN_SHAPE_TEXT], b[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_SHAPE, "metric '%s' (%s): %s, got y_true %s and y_pred %s", metric->name,
                    metric->class->name, expected[class_of(metric)->shapes],
                    cnn_shape_text(a, sizeof a, y_true->rank, y_true->shape),
                    cnn_shape_text(b, sizeof b, y_pred->rank, y_pred->shape));
}

/* ---- figures ---------------------------------------------------------------------------------------------
 */

void cnn_metric_reset(cnn_metric *metric) {
    metric->total = metric->weight = 0;
    if (class_of(metric)->reset) class_of(metric)->reset(metric);
}

static void update_mean(cnn_metric *metric, const cnn_metric_batch *batch) {
    for (int64_t sample = 0; sample < batch->samples; sample++) {
        double sum = 0, weight = batch->weight ? (double)batch->weight[sample] : 1;
        for (int64_t row = 0; row < batch->rows; row++)
            sum += class_of(metric)->row(metric, batch, sample * batch->rows + row);
        if (weight != 0) metric->total += weight * sum / (double)batch->rows;
        metric->weight += weight;
    }
}

cnn_status cnn_metric_update(cnn_metric *metric, const cnn_tensor *y_true, const cnn_tensor *y_pred,
                             const float *weight) {
    const cnn_metric_class *class = class_of(metric);
    if (class->shapes == CNN_METRIC_VALUES) y_pred = y_true;
    CNN_TRY(cnn_check_values(metric->name, y_true));
    CNN_TRY(cnn_check_values(metric->name, y_pred));
    if (!shapes_fit(class->shapes, y_true, y_pred)) return shape_error(metric, y_true, y_pred);
    if (y_pred->size == 0) return CNN_OK;
    cnn_metric_batch batch = {.y_true = y_true, .y_pred = y_pred, .weight = weight};
    batch.samples = y_pred->rank > 0 ? y_pred->shape[0] : 1;
    batch.width = y_pred->rank > 1 ? y_pred->shape[y_pred->rank - 1] : 1;
    batch.rows = y_pred->size / (batch.samples * batch.width);
    if (class->update) return class->update(metric, &batch);
    update_mean(metric, &batch);
    return CNN_OK;
}

int cnn_metric_results(const cnn_metric *metric, double *values, int capacity) {
    if (class_of(metric)->results) return class_of(metric)->results(metric, values, capacity);
    if (capacity > 0) values[0] = metric->weight != 0 ? metric->total / metric->weight : 0;
    return 1;
}

double cnn_metric_result(const cnn_metric *metric) {
    double value = NAN;
    cnn_metric_results(metric, &value, 1);
    return value;
}

double *cnn_metric_part(cnn_metric *metric, int number, int *count) {
    if (class_of(metric)->part) return class_of(metric)->part(metric, number, count);
    *count = 1;
    return number == 0 ? &metric->total : number == 1 ? &metric->weight : NULL;
}

/* ---- for metrics -----------------------------------------------------------------------------------------
 */

double cnn_metric_value(const cnn_tensor *tensor, int64_t position) {
    switch (tensor->dtype) {
    case CNN_FLOAT32:
        return ((const float *)tensor->data)[position];
    case CNN_INT32:
        return ((const int32_t *)tensor->data)[position];
    case CNN_UINT8:
        return ((const uint8_t *)tensor->data)[position];
    default:
        return cnn_tensor_get(tensor, position);
    }
}

int64_t cnn_metric_argmax(const cnn_tensor *tensor, int64_t start, int64_t width) {
    int64_t best = 0;
    double highest = cnn_metric_value(tensor, start);
    if (isnan(highest)) return -1;
    for (int64_t i = 1; i < width; i++) {
        double value = cnn_metric_value(tensor, start + i);
        if (isnan(value)) return -1;
        if (value > highest) {
            highest = value;
            best = i;
        }
    }
    return best;
}

int64_t cnn_metric_label(const cnn_tensor *tensor, int64_t position, int64_t classes) {
    double label = cnn_metric_value(tensor, position);
    return label >= 0 && label < (double)classes && label == floor(label) ? (int64_t)label : -1;
}
