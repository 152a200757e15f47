/* Metrics: Keras's definitions on small cases worked out by hand, weights, odd values, and the messages. The
 * AUC numbers come from Keras's formulas written out in numpy over all thresholds. */
#include "tensor_test.h"
#include "train/metric.h"

#include <stdio.h>

static cnn_status try_metric(cnn_metric **out, const char *text, const cnn_tensor *y_pred,
                             const cnn_tensor *y_true) {
    cJSON *spec = cJSON_Parse(text);
    assert_non_null(spec);
    cnn_status status = cnn_metric_new(out, spec, y_pred, y_true);
    cJSON_Delete(spec);
    return status;
}

/* The result on one batch, fed whole and then again by samples; releases the tensors. */
static double result_of(const char *spec, cnn_tensor *y_true, cnn_tensor *y_pred, const float *weight) {
    cnn_metric *metric = NULL;
    OK(try_metric(&metric, spec, y_pred, y_true));
    OK(cnn_metric_update(metric, y_true, y_pred, weight));
    double whole = cnn_metric_result(metric);
    cnn_metric_reset(metric);
    for (int64_t i = 0; i < y_pred->shape[0]; i++) {
        cnn_tensor *label, *prediction;
        OK(cnn_view(&label, y_true, i, i + 1));
        OK(cnn_view(&prediction, y_pred, i, i + 1));
        OK(cnn_metric_update(metric, label, prediction, weight ? weight + i : NULL));
        cnn_tensor_release(label);
        cnn_tensor_release(prediction);
    }
    double parted = cnn_metric_result(metric);
    assert_true(fabs(whole - parted) < 1e-12 || (isnan(whole) && isnan(parted)));
    cnn_metric_free(metric);
    cnn_tensor_release(y_true);
    cnn_tensor_release(y_pred);
    return whole;
}

static void expect_near(double got, double expected) {
    if (!(fabs(got - expected) < 1e-6)) print_error("%.9g is not %.9g\n", got, expected);
    assert_true(fabs(got - expected) < 1e-6);
}

/* Rows whose highest are 2, 0, 1, 2. */
static cnn_tensor *scores(void) {
    return TENSOR(CNN_FLOAT32, SHAPE(4, 3), 0.1, 0.2, 0.7, 0.6, 0.3, 0.1, 0.2, 0.5, 0.3, 0.1, 0.4, 0.5);
}

static cnn_tensor *labels(cnn_dtype dtype) {
    return TENSOR(dtype, SHAPE(4), 2, 0, 1, 1);
}

static cnn_tensor *one_hot(void) {
    return TENSOR(CNN_UINT8, SHAPE(4, 3), 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0);
}

/* ---- accuracies ------------------------------------------------------------------------------------------
 */

static void counts_right_classes(void **state) {
    (void)state;
    const float weight[] = {1, 2, 0, 5};
    expect_near(result_of("\"sparse_categorical_accuracy\"", labels(CNN_INT32), scores(), NULL), 0.75);
    expect_near(result_of("\"sparse_categorical_accuracy\"", labels(CNN_UINT8), scores(), weight), 3.0 / 8);
    expect_near(result_of("\"sparse_categorical_accuracy\"", labels(CNN_FLOAT32), scores(), NULL), 0.75);
    expect_near(result_of("\"categorical_accuracy\"", one_hot(), scores(), NULL), 0.75);
    expect_near(result_of("\"categorical_accuracy\"", one_hot(), scores(), weight), 3.0 / 8);
}

static void takes_labels_with_a_last_size_of_1(void **state) {
    (void)state;
    expect_near(result_of("\"sparse_categorical_accuracy\"", TENSOR(CNN_INT32, SHAPE(4, 1), 2, 0, 1, 1),
                          scores(), NULL),
                0.75);
    expect_near(result_of("\"binary_accuracy\"", TENSOR(CNN_UINT8, SHAPE(2), 0, 1),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 1), 0.5, 0.6), NULL),
                1);
}

static void averages_over_the_rows_of_a_sample(void **state) {
    (void)state;
    const float weight[] = {3, 1};
    expect_near(result_of("\"sparse_categorical_accuracy\"", TENSOR(CNN_UINT8, SHAPE(2, 2), 0, 1, 1, 1),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 2, 2), 1, 0, 1, 0, 0, 1, 0, 1), weight),
                (3 * 0.5 + 1) / 4);
    expect_near(result_of("\"binary_accuracy\"", TENSOR(CNN_UINT8, SHAPE(2, 2), 0, 1, 1, 1),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 2), 0, 0, 1, 1), weight),
                (3 * 0.5 + 1) / 4);
}

static void looks_among_the_k_highest(void **state) {
    (void)state;
    expect_near(result_of("{\"class_name\": \"SparseTopKCategoricalAccuracy\", \"config\": {\"k\": 2}}",
                          TENSOR(CNN_INT32, SHAPE(4), 0, 1, 2, 1), scores(), NULL),
                0.75);
    expect_near(result_of("{\"class_name\": \"TopKCategoricalAccuracy\", \"config\": {\"k\": 1}}", one_hot(),
                          scores(), NULL),
                0.75);
    expect_near(result_of("\"top_k_categorical_accuracy\"", one_hot(), scores(), NULL), 1);
    /* Equals share a place. */
    expect_near(result_of("{\"class_name\": \"SparseTopKCategoricalAccuracy\", \"config\": {\"k\": 1}}",
                          TENSOR(CNN_INT32, SHAPE(1), 2), TENSOR(CNN_FLOAT32, SHAPE(1, 3), 0.5, 0, 0.5),
                          NULL),
                1);
}

static void accuracy_is_of_the_kind_that_fits(void **state) {
    (void)state;
    static const struct {
        int label_rank, rank;
        int64_t label[4], prediction[4];
        const char *kind;
    } cases[] = {{1, 2, {-1}, {-1, 10}, "SparseCategoricalAccuracy"},
                 {2, 2, {-1, 1}, {-1, 10}, "SparseCategoricalAccuracy"},
                 {2, 2, {-1, 10}, {-1, 10}, "CategoricalAccuracy"},
                 {2, 2, {-1, 1}, {-1, 1}, "BinaryAccuracy"},
                 {1, 2, {-1}, {-1, 1}, "BinaryAccuracy"},
                 {1, 1, {-1}, {-1}, "BinaryAccuracy"},
                 {3, 4, {-1, 8, 8}, {-1, 8, 8, 3}, "SparseCategoricalAccuracy"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_tensor *y_true, *y_pred;
        OK(cnn_tensor_symbolic(&y_true, CNN_INT32, cases[i].label_rank, cases[i].label));
        OK(cnn_tensor_symbolic(&y_pred, CNN_FLOAT32, cases[i].rank, cases[i].prediction));
        for (int acc = 0; acc < 2; acc++) {
            cnn_metric *metric;
            OK(try_metric(&metric, acc ? "\"acc\"" : "\"accuracy\"", y_pred, y_true));
            assert_string_equal(metric->class->name, cases[i].kind);
            assert_string_equal(metric->name, acc ? "acc" : "accuracy");
            cnn_metric_free(metric);
        }
        cnn_tensor_release(y_true);
        cnn_tensor_release(y_pred);
    }
}

static void has_kerass_names(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"AUC\"", "auc"},
        {"\"mse\"", "mse"},
        {"\"Accuracy\"", "accuracy"},
        {"\"mean_absolute_error\"", "mean_absolute_error"},
        {"{\"class_name\": \"Precision\"}", "precision"},
        {"{\"class_name\": \"MeanSquaredError\", \"config\": {\"dtype\": \"float32\"}}",
         "mean_squared_error"},
        {"{\"class_name\": \"TopKCategoricalAccuracy\"}", "top_k_categorical_accuracy"},
        {"{\"class_name\": \"Recall\", \"config\": {\"name\": \"found\"}}", "found"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_metric *metric;
        OK(try_metric(&metric, cases[i][0], NULL, NULL));
        assert_string_equal(metric->name, cases[i][1]);
        cnn_metric_free(metric);
    }
}

static void what_is_not_a_number_is_wrong(void **state) {
    (void)state;
    cnn_tensor *y_true = TENSOR(CNN_INT32, SHAPE(2), 0, 1);
    expect_near(result_of("\"accuracy\"", cnn_tensor_retain(y_true),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 2), NAN, NAN, 0, 1), NULL),
                0.5);
    expect_near(result_of("\"sparse_top_k_categorical_accuracy\"", cnn_tensor_retain(y_true),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, NAN, 0, 1), NULL),
                0.5);
    expect_near(result_of("\"binary_accuracy\"", cnn_tensor_retain(y_true),
                          TENSOR(CNN_FLOAT32, SHAPE(2), NAN, 1), NULL),
                0.5);
    expect_near(
        result_of("\"precision\"", cnn_tensor_retain(y_true), TENSOR(CNN_FLOAT32, SHAPE(2), NAN, 1), NULL),
        0.5);
    expect_near(
        result_of("\"recall\"", cnn_tensor_retain(y_true), TENSOR(CNN_FLOAT32, SHAPE(2), 0, NAN), NULL), 0);
    expect_near(
        result_of("\"auc\"", cnn_tensor_retain(y_true), TENSOR(CNN_FLOAT32, SHAPE(2), NAN, NAN), NULL), 0);
    assert_true(
        isnan(result_of("\"mse\"", cnn_tensor_retain(y_true), TENSOR(CNN_FLOAT32, SHAPE(2), NAN, 1), NULL)));
    cnn_tensor_release(y_true);
}

static void labels_out_of_range_are_wrong(void **state) {
    (void)state;
    static const double odd[] = {-1, 3, 1e9, 0.5, NAN, -INFINITY, INFINITY};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        expect_near(result_of("\"accuracy\"", TENSOR(CNN_FLOAT32, SHAPE(2), odd[i], 1),
                              TENSOR(CNN_FLOAT32, SHAPE(2, 3), 1, 0, 0, 0, 1, 0), NULL),
                    0.5);
        expect_near(result_of("\"sparse_top_k_categorical_accuracy\"",
                              TENSOR(CNN_FLOAT32, SHAPE(2), odd[i], 1),
                              TENSOR(CNN_FLOAT32, SHAPE(2, 3), 1, 0, 0, 0, 1, 0), NULL),
                    0.5);
        assert_true(
            isnan(result_of("\"sparse_categorical_crossentropy\"", TENSOR(CNN_FLOAT32, SHAPE(1), odd[i]),
                            TENSOR(CNN_FLOAT32, SHAPE(1, 3), 1, 0, 0), NULL)));
    }
}

/* ---- means -----------------------------------------------------------------------------------------------
 */

static void takes_means(void **state) {
    (void)state;
    const float weight[] = {1, 3};
    cnn_tensor *y_true = TENSOR(CNN_INT32, SHAPE(2, 2), 1, 2, 3, 4);
    cnn_tensor *y_pred = TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 4, 0, 5);
    static const struct {
        const char *name;
        double plain, weighted;
    } cases[] = {{"\"mse\"", 3.5, (2.0 + 3 * 5) / 4},
                 {"\"mae\"", 1.5, (1.0 + 3 * 2) / 4},
                 {"\"root_mean_squared_error\"", 1.870828693, 2.061552813},
                 {"\"mean\"", 2.5, (1.5 + 3 * 3.5) / 4},
                 {"{\"class_name\": \"Accuracy\"}", 0.25, 0.125}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_near(result_of(cases[i].name, cnn_tensor_retain(y_true), cnn_tensor_retain(y_pred), NULL),
                    cases[i].plain);
        expect_near(result_of(cases[i].name, cnn_tensor_retain(y_true), cnn_tensor_retain(y_pred), weight),
                    cases[i].weighted);
    }
    cnn_tensor_release(y_true);
    cnn_tensor_release(y_pred);
}

static void takes_crossentropies(void **state) {
    (void)state;
    expect_near(
        result_of("\"bce\"", TENSOR(CNN_UINT8, SHAPE(2), 1, 0), TENSOR(CNN_FLOAT32, SHAPE(2), 0.25, 0), NULL),
        -log(0.25) / 2);
    expect_near(result_of("{\"class_name\": \"BinaryCrossentropy\", \"config\": {\"from_logits\": true}}",
                          TENSOR(CNN_UINT8, SHAPE(2), 1, 0), TENSOR(CNN_FLOAT32, SHAPE(2), -2, 100), NULL),
                (log1p(exp(2)) + 100) / 2);
    expect_near(result_of("\"sparse_categorical_crossentropy\"", TENSOR(CNN_UINT8, SHAPE(1), 1),
                          TENSOR(CNN_FLOAT32, SHAPE(1, 3), 1, 2, 1), NULL),
                log(2));
    expect_near(result_of("\"categorical_crossentropy\"", TENSOR(CNN_UINT8, SHAPE(1, 3), 0, 1, 0),
                          TENSOR(CNN_FLOAT32, SHAPE(1, 3), 0.5, 0, 0.5), NULL),
                -log(1e-7));
    expect_near(
        result_of("{\"class_name\": \"CategoricalCrossentropy\", \"config\": {\"from_logits\": true}}",
                  TENSOR(CNN_UINT8, SHAPE(1, 2), 0, 1), TENSOR(CNN_FLOAT32, SHAPE(1, 2), 1000, 999), NULL),
        1 + log1p(exp(-1)));
    expect_near(
        result_of("{\"class_name\": \"CategoricalCrossentropy\", \"config\": {\"label_smoothing\": 0.5}}",
                  TENSOR(CNN_UINT8, SHAPE(1, 2), 0, 1), TENSOR(CNN_FLOAT32, SHAPE(1, 2), 0.25, 0.75), NULL),
        -0.25 * log(0.25) - 0.75 * log(0.75));
}

/* ---- confusion -------------------------------------------------------------------------------------------
 */

static cnn_tensor *truth(void) {
    return TENSOR(CNN_UINT8, SHAPE(6), 0, 1, 0, 1, 1, 0);
}

static cnn_tensor *guesses(void) {
    return TENSOR(CNN_FLOAT32, SHAPE(6), 0.1, 0.4, 0.6, 0.8, 0.5, 0.3);
}

static void tells_precision_and_recall(void **state) {
    (void)state;
    const float weight[] = {1, 1, 2, 3, 0, 1};
    expect_near(result_of("\"precision\"", truth(), guesses(), NULL), 0.5);
    expect_near(result_of("\"recall\"", truth(), guesses(), NULL), 1.0 / 3);
    expect_near(result_of("\"precision\"", truth(), guesses(), weight), 0.6);
    expect_near(result_of("\"recall\"", truth(), guesses(), weight), 0.75);
    expect_near(
        result_of("\"precision\"", TENSOR(CNN_UINT8, SHAPE(1), 1), TENSOR(CNN_FLOAT32, SHAPE(1), 0), NULL),
        0);
    expect_near(result_of("{\"class_name\": \"Recall\", \"config\": {\"class_id\": 1}}",
                          TENSOR(CNN_UINT8, SHAPE(2, 2), 1, 1, 0, 1),
                          TENSOR(CNN_FLOAT32, SHAPE(2, 2), 0, 1, 1, 0), NULL),
                0.5);
}

static void gives_a_figure_for_each_threshold(void **state) {
    (void)state;
    cnn_metric *metric;
    cnn_tensor *y_true = truth(), *y_pred = guesses();
    double values[4] = {-1, -1, -1, -1};
    OK(try_metric(&metric, "{\"class_name\": \"Recall\", \"config\": {\"thresholds\": [0.7, 0, 0.45]}}", NULL,
                  NULL));
    OK(cnn_metric_update(metric, y_true, y_pred, NULL));
    assert_int_equal(cnn_metric_results(metric, values, 4), 3);
    expect_near(values[0], 1.0 / 3);
    expect_near(values[1], 1);
    expect_near(values[2], 2.0 / 3);
    assert_true(values[3] == -1);
    assert_true(cnn_metric_result(metric) == values[0]);
    cnn_metric_free(metric);
    cnn_tensor_release(y_true);
    cnn_tensor_release(y_pred);
}

static void tells_the_area_under_curves(void **state) {
    (void)state;
    const float weight[] = {1, 1, 2, 3, 0, 1};
    static const struct {
        const char *config;
        double plain, weighted;
    } cases[] = {
        {"{}", 0.777777778, 0.875},
        {"{\"curve\": \"PR\"}", 0.76895094, 0.908839222},
        {"{\"num_thresholds\": 3}", 0.5, 0.625},
        {"{\"thresholds\": [0.7, 0.35]}", 0.888888889, 0.9375},
        {"{\"num_thresholds\": 5, \"summation_method\": \"minoring\"}", 0.555555556, 0.8125},
        {"{\"curve\": \"PR\", \"num_thresholds\": 5, \"summation_method\": \"majoring\"}", 0.733333333, 0.9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char spec[160];
        snprintf(spec, sizeof spec, "{\"class_name\": \"AUC\", \"config\": %s}", cases[i].config);
        expect_near(result_of(spec, truth(), guesses(), NULL), cases[i].plain);
        expect_near(result_of(spec, truth(), guesses(), weight), cases[i].weighted);
    }
    expect_near(result_of("{\"class_name\": \"AUC\", \"config\": {\"from_logits\": true}}", truth(),
                          TENSOR(CNN_FLOAT32, SHAPE(6), -9, -1, 1, 9, 0, -2), NULL),
                7.0 / 9);
}

/* ---- errors ----------------------------------------------------------------------------------------------
 */

static void names_the_metric_and_the_shapes(void **state) {
    (void)state;
    static const struct {
        const char *metric;
        int rank;
        int64_t shape[3];
        const char *message;
    } cases[] = {{"\"sparse_categorical_accuracy\"",
                  2,
                  {4, 3},
                  "metric 'sparse_categorical_accuracy' (SparseCategoricalAccuracy): y_true (labels) must "
                  "have the shape of y_pred "
                  "[N,...,classes] without its last axis, got y_true (4, 3) and y_pred (4, 3)"},
                 {"\"categorical_accuracy\"",
                  1,
                  {4},
                  "metric 'categorical_accuracy' (CategoricalAccuracy): y_true (one-hot) and y_pred must "
                  "have the same shape "
                  "[N,...,classes], got y_true (4,) and y_pred (4, 3)"},
                 {"\"mse\"",
                  2,
                  {4, 2},
                  "metric 'mse' (MeanSquaredError): y_true and y_pred must have the same shape, got y_true "
                  "(4, 2) and y_pred (4, 3)"},
                 {"\"auc\"", 1, {4}, "metric 'auc' (AUC): y_true and y_pred must have the same shape"},
                 {"\"sparse_categorical_accuracy\"", 1, {5}, "got y_true (5,) and y_pred (4, 3)"}};
    cnn_tensor *y_pred = scores();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_metric *metric;
        cnn_tensor *y_true;
        OK(cnn_tensor_new(&y_true, CNN_INT32, cases[i].rank, cases[i].shape));
        OK(try_metric(&metric, cases[i].metric, NULL, NULL));
        assert_fails(cnn_metric_update(metric, y_true, y_pred, NULL), CNN_ERROR_SHAPE, cases[i].message);
        assert_true(metric->weight == 0);
        cnn_metric_free(metric);
        cnn_tensor_release(y_true);
    }
    cnn_tensor_release(y_pred);
}

static void refuses_wrong_arguments(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"acuracy\"", "unknown metric 'acuracy' (did you mean 'accuracy'?)"},
        {"{\"class_name\": \"BinaryAccuracy\", \"config\": {\"threshold\": 1}}",
         "BinaryAccuracy: 'threshold' must lie between 0 and 1, got 1"},
        {"{\"class_name\": \"TopKCategoricalAccuracy\", \"config\": {\"k\": 0}}",
         "TopKCategoricalAccuracy: 'k' must be at least 1, got 0"},
        {"{\"class_name\": \"Precision\", \"config\": {\"thresholds\": [0.5, 2]}}",
         "Precision: 'thresholds' must lie between 0 and 1, got 2"},
        {"{\"class_name\": \"Precision\", \"config\": {\"thresholds\": []}}",
         "Precision: 'thresholds' must not be empty"},
        {"{\"class_name\": \"Recall\", \"config\": {\"thresholds\": \"high\"}}",
         "Recall: 'thresholds' must be a number or a list of numbers"},
        {"{\"class_name\": \"Recall\", \"config\": {\"top_k\": 3}}",
         "Recall: 'top_k' is not supported: it must be null"},
        {"{\"class_name\": \"AUC\", \"config\": {\"curve\": \"ROCK\"}}",
         "AUC: 'curve' must be one of 'ROC', 'PR', got \"ROCK\""},
        {"{\"class_name\": \"AUC\", \"config\": {\"num_thresholds\": 1}}",
         "AUC: 'num_thresholds' must be between 2"},
        {"{\"class_name\": \"AUC\", \"config\": {\"multi_label\": true}}",
         "AUC: 'multi_label' is not supported: it must be false"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_metric *metric = NULL;
        assert_fails(try_metric(&metric, cases[i][0], NULL, NULL), CNN_ERROR_ARGUMENT, cases[i][1]);
        assert_null(metric);
    }
}

static void refuses_a_class_that_is_not_there(void **state) {
    (void)state;
    cnn_metric *metric;
    cnn_tensor *y_true = one_hot(), *y_pred = scores();
    OK(try_metric(&metric, "{\"class_name\": \"Recall\", \"config\": {\"class_id\": 3}}", NULL, NULL));
    assert_fails(cnn_metric_update(metric, y_true, y_pred, NULL), CNN_ERROR_ARGUMENT,
                 "metric 'recall' (Recall): 'class_id' must be below the 3 classes, got 3");
    assert_fails(cnn_metric_update(metric, NULL, y_pred, NULL), CNN_ERROR_ARGUMENT, "recall");
    cnn_metric_free(metric);
    cnn_tensor_release(y_true);
    cnn_tensor_release(y_pred);
}

static void no_samples_change_nothing(void **state) {
    (void)state;
    cnn_metric *metric;
    cnn_tensor *y_true, *y_pred;
    OK(cnn_tensor_new(&y_true, CNN_INT32, SHAPE(0)));
    OK(cnn_tensor_new(&y_pred, CNN_FLOAT32, SHAPE(0, 3)));
    OK(try_metric(&metric, "\"accuracy\"", y_pred, y_true));
    OK(cnn_metric_update(metric, y_true, y_pred, NULL));
    assert_true(cnn_metric_result(metric) == 0);
    cnn_metric_free(metric);
    cnn_tensor_release(y_true);
    cnn_tensor_release(y_pred);
}

static cnn_status make_metric(cnn_tensor **out, void *spec) {
    cnn_metric *metric;
    (void)out;
    cnn_status status = try_metric(&metric, spec, NULL, NULL);
    if (status == CNN_OK) cnn_metric_free(metric);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    assert_survives(make_metric, "{\"class_name\": \"AUC\", \"config\": {\"thresholds\": [0.5]}}");
    assert_survives(make_metric, "{\"class_name\": \"Precision\", \"config\": {\"thresholds\": [0.5, 0.7]}}");
    assert_survives(make_metric, "\"mse\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_right_classes),
        cmocka_unit_test(takes_labels_with_a_last_size_of_1),
        cmocka_unit_test(averages_over_the_rows_of_a_sample),
        cmocka_unit_test(looks_among_the_k_highest),
        cmocka_unit_test(accuracy_is_of_the_kind_that_fits),
        cmocka_unit_test(has_kerass_names),
        cmocka_unit_test(what_is_not_a_number_is_wrong),
        cmocka_unit_test(labels_out_of_range_are_wrong),
        cmocka_unit_test(takes_means),
        cmocka_unit_test(takes_crossentropies),
        cmocka_unit_test(tells_precision_and_recall),
        cmocka_unit_test(gives_a_figure_for_each_threshold),
        cmocka_unit_test(tells_the_area_under_curves),
        cmocka_unit_test(names_the_metric_and_the_shapes),
        cmocka_unit_test(refuses_wrong_arguments),
        cmocka_unit_test(refuses_a_class_that_is_not_there),
        cmocka_unit_test(no_samples_change_nothing),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
