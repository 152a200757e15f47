/* Mean, and the mean errors (keras.src.metrics.reduction_metrics and regression_metrics). */
#include "train/metric.h"

#include <math.h>

static const cnn_param params[] = {CNN_METRIC_NAME, {0}};

static double mean_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    double sum = 0;
    (void)metric;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++) sum += cnn_metric_value(b->y_true, i);
    return sum / (double)b->width;
}

extern const cnn_metric_class cnn_metric_mean;
/*** The weighted mean of the values it is given: to gather the loss of a training loop of one's own.
@class cnn.metrics.Mean
@usage
mean = cnn.metrics.Mean{}
mean:update_state(3)
mean:update_state({4, 5})
mean:result()  --> 4.0
mean:reset_state()
mean:result()  --> 0.0
*/
const cnn_metric_class cnn_metric_mean = {.class = CNN_CLASS("metric", "Mean", NULL, cnn_metric, params),
                                          .shapes = CNN_METRIC_VALUES,
                                          .row = mean_row};

static double squared_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    double sum = 0;
    (void)metric;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++) {
        double error = cnn_metric_value(b->y_pred, i) - cnn_metric_value(b->y_true, i);
        sum += error * error;
    }
    return sum / (double)b->width;
}

extern const cnn_metric_class cnn_metric_mean_squared_error;
/*** The mean of squared errors, (y_pred - y_true)².
@class cnn.metrics.MeanSquaredError
@raise shapes that differ
@usage
cnn.metrics.MeanSquaredError{}({{0}, {0}}, {{1}, {3}})  --> 5.0
*/
const cnn_metric_class cnn_metric_mean_squared_error = {
    .class = CNN_CLASS("metric", "MeanSquaredError", "mse MSE", cnn_metric, params),
    .shapes = CNN_METRIC_ELEMENTS,
    .row = squared_row};

static double absolute_row(const cnn_metric *metric, const cnn_metric_batch *b, int64_t row) {
    double sum = 0;
    (void)metric;
    for (int64_t i = row * b->width; i < (row + 1) * b->width; i++)
        sum += fabs(cnn_metric_value(b->y_pred, i) - cnn_metric_value(b->y_true, i));
    return sum / (double)b->width;
}

extern const cnn_metric_class cnn_metric_mean_absolute_error;
/*** The mean of |y_pred - y_true|.
@class cnn.metrics.MeanAbsoluteError
@raise shapes that differ
@usage
cnn.metrics.MeanAbsoluteError{}({{0}, {0}}, {{1}, {-3}})  --> 2.0
*/
const cnn_metric_class cnn_metric_mean_absolute_error = {
    .class = CNN_CLASS("metric", "MeanAbsoluteError", "mae MAE", cnn_metric, params),
    .shapes = CNN_METRIC_ELEMENTS,
    .row = absolute_row};

static int root_results(const cnn_metric *metric, double *values, int capacity) {
    if (capacity > 0) values[0] = metric->weight != 0 ? sqrt(metric->total / metric->weight) : 0;
    return 1;
}

extern const cnn_metric_class cnn_metric_root_mean_squared_error;
/*** The square root of the mean of squared errors, and so in the units of what is predicted.
@class cnn.metrics.RootMeanSquaredError
@raise shapes that differ
@usage
cnn.metrics.RootMeanSquaredError{}({{0}, {0}}, {{1}, {7}})  --> 5.0
*/
const cnn_metric_class cnn_metric_root_mean_squared_error = {
    .class = CNN_CLASS("metric", "RootMeanSquaredError", "rmse RMSE", cnn_metric, params),
    .shapes = CNN_METRIC_ELEMENTS,
    .row = squared_row,
    .results = root_results};
