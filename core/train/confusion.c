/* Precision, recall and the area under a curve of them: figures of the confusion of two classes at
 * thresholds, defined as in Keras 3 (keras.src.metrics.confusion_metrics). A prediction is positive when
 * above the threshold, both in the precision of float32. One that is not a number is wrong at every
 * threshold. 0/0 is 0. */
#include "train/metric.h"
#include "base/memory.h"
#include "base/status.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

static double sample_weight(const cnn_metric_batch *b, int64_t position) {
    return b->weight ? (double)b->weight[position / (b->rows * b->width)] : 1;
}

/* Thresholds from a number, a list of them, or nothing (then `fallback`), into limits, which has room for
 * all. */
static cnn_status read_thresholds(const cnn_metric *metric, const cJSON *thresholds, float fallback,
                                  float *limits) {
    int count = 0;
    if (!thresholds) limits[0] = fallback;
    const cJSON *item = cJSON_IsArray(thresholds) ? thresholds->child : thresholds;
    for (; item; item = cJSON_IsArray(thresholds) ? item->next : NULL) {
        if (!cJSON_IsNumber(item))
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'thresholds' must be a number or a list of numbers",
                            metric->class->name);
        if (!(item->valuedouble >= 0 && item->valuedouble <= 1))
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'thresholds' must lie between 0 and 1, got %g",
                            metric->class->name, item->valuedouble);
        limits[count++] = (float)item->valuedouble;
    }
    return CNN_OK;
}

static int threshold_count(const cJSON *thresholds) {
    return cJSON_IsArray(thresholds) ? cJSON_GetArraySize(thresholds) : 1;
}

/* ---- Precision and Recall --------------------------------------------------------------------------------
 */

/* At one threshold. */
typedef struct counts {
    double true_positives, false_positives, false_negatives;
    float limit;
} counts;

typedef struct confusion {
    cnn_metric head;
    cJSON *thresholds, *top_k;
    int class_id; /* INT_MIN: all */
    int count;
    counts *at; /* [count] */
} confusion;

static cnn_status confusion_open(cnn_metric *metric) {
    confusion *c = (confusion *)metric;
    if (c->top_k)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'top_k' is not supported: it must be null",
                        metric->class->name);
    c->count = threshold_count(c->thresholds);
    if (c->count == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'thresholds' must not be empty", metric->class->name);
    size_t bytes = (size_t)c->count * sizeof *c->at;
    float *limits = cnn_malloc((size_t)c->count * sizeof *limits);
    c->at = cnn_calloc(bytes);
    cnn_status status =
        limits && c->at ? read_thresholds(metric, c->thresholds, 0.5f, limits) : cnn_fail_memory(bytes);
    for (int i = 0; status == CNN_OK && i < c->count; i++) c->at[i].limit = limits[i];
    cnn_free(limits);
    return status;
}

static void confusion_close(cnn_metric *metric) {
    cnn_free(((confusion *)metric)->at);
}

static void confusion_reset(cnn_metric *metric) {
    confusion *c = (confusion *)metric;
    for (int i = 0; i < c->count; i++) c->at[i] = (counts){.limit = c->at[i].limit};
}

/* A part each for true and false positives and false negatives at each threshold. */
static double *confusion_part(cnn_metric *metric, int number, int *count) {
    confusion *c = (confusion *)metric;
    *count = 1;
    if (number / 3 >= c->count) return NULL;
    counts *at = &c->at[number / 3];
    return number % 3 == 0   ? &at->true_positives
           : number % 3 == 1 ? &at->false_positives
                             : &at->false_negatives;
}

static void confusion_add(confusion *c, bool label, float prediction, double weight) {
    bool wrong = isnan(prediction);
    for (int i = 0; i < c->count; i++) {
        bool positive = wrong ? !label : prediction > c->at[i].limit;
        if (positive && label) c->at[i].true_positives += weight;
        if (positive && !label) c->at[i].false_positives += weight;
        if (!positive && label) c->at[i].false_negatives += weight;
    }
}

static cnn_status confusion_update(cnn_metric *metric, const cnn_metric_batch *b) {
    confusion *c = (confusion *)metric;
    bool all = c->class_id == INT_MIN;
    if (!all && c->class_id >= b->width)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "metric '%s' (%s): 'class_id' must be below the %" PRId64 " classes, got %d",
                        metric->name, metric->class->name, b->width, c->class_id);
    for (int64_t i = all ? 0 : c->class_id; i < b->y_pred->size; i += all ? 1 : b->width)
        confusion_add(c, cnn_metric_value(b->y_true, i) != 0, (float)cnn_metric_value(b->y_pred, i),
                      sample_weight(b, i));
    return CNN_OK;
}

static int precision_results(const cnn_metric *metric, double *values, int capacity) {
    const confusion *c = (const confusion *)metric;
    for (int i = 0; i < c->count && i < capacity; i++)
        values[i] = ratio(c->at[i].true_positives, c->at[i].true_positives + c->at[i].false_positives);
    return c->count;
}

static int recall_results(const cnn_metric *metric, double *values, int capacity) {
    const confusion *c = (const confusion *)metric;
    for (int i = 0; i < c->count && i < capacity; i++)
        values[i] = ratio(c->at[i].true_positives, c->at[i].true_positives + c->at[i].false_negatives);
    return c->count;
}

static const cnn_param confusion_params[] = {
    CNN_PARAM(JSON, confusion, thresholds, "null",
              .help = "a number or a list of them, each giving a figure; 0.5 if not given"),
    CNN_PARAM(JSON, confusion, top_k, "null", .help = "only nil"),
    CNN_PARAM(INT, confusion, class_id, "null", .low = 0, .high = INFINITY, .nullable = true,
              .help = "look at this class alone (from 0)"),
    CNN_METRIC_NAME,
    {0}};

extern const cnn_metric_class cnn_metric_precision, cnn_metric_recall;
/*** Of what was predicted positive, the share that is: true positives / (true positives + false positives).

y_true and y_pred have the same shape; a prediction above the threshold is positive. Of nothing predicted positive it
is 0. With several thresholds there is a figure for each.
@class cnn.metrics.Precision
@raise a threshold that is not between 0 and 1; shapes that differ
@usage
precision = cnn.metrics.Precision{}
precision({1, 1, 0, 0, 1}, {0.9, 0.8, 0.7, 0.1, 0.3})  --> 0.66666666666667
cnn.metrics.Precision{{0.5, 0.75}}({1, 1, 0, 0}, {0.9, 0.8, 0.7, 0.1})
--> {0.66666666666667, 1.0}
*/
const cnn_metric_class cnn_metric_precision = {
    .class = CNN_CLASS("metric", "Precision", NULL, confusion, confusion_params),
    .shapes = CNN_METRIC_ELEMENTS,
    .open = confusion_open,
    .close = confusion_close,
    .reset = confusion_reset,
    .update = confusion_update,
    .results = precision_results,
    .part = confusion_part};

/*** Of what is positive, the share that was found: true positives / (true positives + false negatives).

y_true and y_pred have the same shape; a prediction above the threshold is positive. With several thresholds there is
a figure for each.
@class cnn.metrics.Recall
@raise a threshold that is not between 0 and 1; shapes that differ
@usage
cnn.metrics.Recall{}({1, 1, 1, 1, 0}, {0.9, 0.8, 0.7, 0.1, 0.6})  --> 0.75
*/
const cnn_metric_class cnn_metric_recall = {
    .class = CNN_CLASS("metric", "Recall", NULL, confusion, confusion_params),
    .shapes = CNN_METRIC_ELEMENTS,
    .open = confusion_open,
    .close = confusion_close,
    .reset = confusion_reset,
    .update = confusion_update,
    .results = recall_results,
    .part = confusion_part};

/* ---- AUC -------------------------------------------------------------------------------------------------
 */

/* Predictions are counted by how many of the rising thresholds they exceed: what is true at threshold i is
 * then a sum over all buckets above i, whatever the number of thresholds. */
typedef struct auc {
    cnn_metric head;
    int num_thresholds;
    int curve, summation;
    cJSON *thresholds, *num_labels, *label_weights;
    bool multi_label, from_logits;
    int count;                   /* of thresholds, with one below 0 and one above 1 */
    float *limits;               /* [count], rising */
    double *positive, *negative; /* [count + 1] */
} auc;

enum { ROC, PR };
enum { INTERPOLATION, MINORING, MAJORING };

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static cnn_status auc_limits(auc *a) {
    const double margin = 1e-7;
    a->limits[0] = (float)-margin;
    a->limits[a->count - 1] = (float)(1 + margin);
    if (a->thresholds) {
        CNN_TRY(read_thresholds(&a->head, a->thresholds, 0, a->limits + 1));
        qsort(a->limits + 1, (size_t)a->count - 2, sizeof *a->limits, by_size);
        return CNN_OK;
    }
    for (int i = 1; i + 1 < a->count; i++) a->limits[i] = (float)(i / (a->count - 1.0));
    return CNN_OK;
}

static cnn_status auc_open(cnn_metric *metric) {
    auc *a = (auc *)metric;
    if (a->multi_label || a->num_labels || a->label_weights)
        return cnn_fail(CNN_ERROR_ARGUMENT, "AUC: '%s' is not supported: it must be %s",
                        a->multi_label  ? "multi_label"
                        : a->num_labels ? "num_labels"
                                        : "label_weights",
                        a->multi_label ? "false" : "null");
    a->count = a->thresholds ? threshold_count(a->thresholds) + 2 : a->num_thresholds;
    size_t bytes = ((size_t)a->count + 1) * sizeof(double);
    a->limits = cnn_calloc(bytes);
    a->positive = cnn_calloc(bytes);
    a->negative = cnn_calloc(bytes);
    if (!a->limits || !a->positive || !a->negative) return cnn_fail_memory(bytes);
    return auc_limits(a);
}

static void auc_close(cnn_metric *metric) {
    auc *a = (auc *)metric;
    cnn_free(a->limits);
    cnn_free(a->positive);
    cnn_free(a->negative);
}

static void auc_reset(cnn_metric *metric) {
    auc *a = (auc *)metric;
    for (int i = 0; i <= a->count; i++) a->positive[i] = a->negative[i] = 0;
}

static double *auc_part(cnn_metric *metric, int number, int *count) {
    auc *a = (auc *)metric;
    *count = a->count + 1;
    return number == 0 ? a->positive : number == 1 ? a->negative : NULL;
}

/* How many thresholds lie below the prediction. */
static int bucket(const auc *a, float prediction) {
    int low = 0, high = a->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (a->limits[middle] < prediction)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static cnn_status auc_update(cnn_metric *metric, const cnn_metric_batch *b) {
    auc *a = (auc *)metric;
    for (int64_t i = 0; i < b->y_pred->size; i++) {
        bool label = cnn_metric_value(b->y_true, i) != 0;
        double prediction = cnn_metric_value(b->y_pred, i);
        if (a->from_logits) prediction = 1 / (1 + exp(-prediction));
        int at = isnan(prediction) ? (label ? 0 : a->count) : bucket(a, (float)prediction);
        (label ? a->positive : a->negative)[at] += sample_weight(b, i);
    }
    return CNN_OK;
}

/* A point of the curve: true and false positives at one threshold. */
typedef struct point {
    double tp, fp;
} point;

/* The area between two points of the precision-recall curve, on which precision is not linear (Davis and
 * Goadrich 2006); low has the lower threshold and so the higher counts. */
static double pr_area(point low, point high, double positives) {
    double all_low = low.tp + low.fp, all_high = high.tp + high.fp;
    double slope = ratio(low.tp - high.tp, all_low - all_high);
    double intercept = high.tp - slope * all_high;
    double log_ratio = all_low > 0 && all_high > 0 ? log(all_low / all_high) : 0;
    return ratio(slope * (low.tp - high.tp + intercept * log_ratio), positives);
}

static double area(const auc *a, point low, point high, double positives, double negatives) {
    if (a->curve == PR && a->summation == INTERPOLATION) return pr_area(low, high, positives);
    double recall_low = ratio(low.tp, positives), recall_high = ratio(high.tp, positives);
    double x_low = recall_low, x_high = recall_high;
    double y_low = ratio(low.tp, low.tp + low.fp), y_high = ratio(high.tp, high.tp + high.fp);
    if (a->curve == ROC) {
        x_low = ratio(low.fp, negatives);
        x_high = ratio(high.fp, negatives);
        y_low = recall_low;
        y_high = recall_high;
    }
    double height = a->summation == MINORING   ? fmin(y_low, y_high)
                    : a->summation == MAJORING ? fmax(y_low, y_high)
                                               : (y_low + y_high) / 2;
    return (x_low - x_high) * height;
}

static int auc_results(const cnn_metric *metric, double *values, int capacity) {
    const auc *a = (const auc *)metric;
    double positives = 0, negatives = 0, sum = 0;
    for (int i = 0; i <= a->count; i++) {
        positives += a->positive[i];
        negatives += a->negative[i];
    }
    point high = {a->positive[a->count], a->negative[a->count]};
    for (int i = a->count - 1; i > 0; i--) {
        point low = {high.tp + a->positive[i], high.fp + a->negative[i]};
        sum += area(a, low, high, positives, negatives);
        high = low;
    }
    if (capacity > 0) values[0] = sum;
    return 1;
}

static const cnn_param auc_params[] = {
    CNN_PARAM(INT, auc, num_thresholds, "200", .low = 2, .high = 1 << 20,
              .help = "points of the curve, evenly spread"),
    CNN_PARAM(CHOICE, auc, curve, "\"ROC\"", .choices = "ROC PR",
              .help = "true against false positive rate, or precision against recall"),
    CNN_PARAM_NAMED(CHOICE, auc, summation, "summation_method", "\"interpolation\"",
                    .choices = "interpolation minoring majoring",
                    .help = "how the area between two points is taken"),
    CNN_METRIC_NAME,
    CNN_PARAM(JSON, auc, thresholds, "null", .help = "list of thresholds to use instead"),
    CNN_PARAM(BOOL, auc, multi_label, "false", .help = "only false"),
    CNN_PARAM(JSON, auc, num_labels, "null", .help = "only nil"),
    CNN_PARAM(JSON, auc, label_weights, "null", .help = "only nil"),
    CNN_PARAM(BOOL, auc, from_logits, "false", .help = "predictions are logits, not probabilities"),
    {0}};

extern const cnn_metric_class cnn_metric_auc;
/*** The area under the ROC curve: 0.5 is guessing, 1 never wrong.
It says how likely a positive sample is rated above a negative one. The curve has a point for each threshold: the rate
of true positives above that of false ones, or with curve = "PR" precision above recall. As in Keras it is taken at
num_thresholds thresholds, and so an approximation. y_true and y_pred have the same shape.
@class cnn.metrics.AUC
@raise thresholds that are not between 0 and 1; shapes that differ
@usage
auc = cnn.metrics.AUC{}
auc({0, 0, 1, 1}, {0.1, 0.6, 0.4, 0.9})                            --> 0.75
cnn.metrics.AUC{curve = "PR"}({0, 0, 1, 1}, {0.1, 0.2, 0.8, 0.9})  --> 1.0
*/
const cnn_metric_class cnn_metric_auc = {.class = CNN_CLASS("metric", "AUC", NULL, auc, auc_params),
                                         .shapes = CNN_METRIC_ELEMENTS,
                                         .open = auc_open,
                                         .close = auc_close,
                                         .reset = auc_reset,
                                         .update = auc_update,
                                         .results = auc_results,
                                         .part = auc_part};
