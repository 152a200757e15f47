/* Optimizers and learning-rate schedules: Keras's definitions, clipping, state, and the same bits for any
 * number of threads and any instruction set. The expected weights below were worked out in double precision
 * from Keras 3's formulas (numpy, a line for each), with the weights and gradients of `first` and
 * `gradients`. */
#include "tensor_test.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "base/memory.h"

#include <stdio.h>

static const float first[3] = {0.5f, -1.25f, 2.0f};
static const float gradients[3][3] = {{0.1f, -2.0f, 0.03f}, {-0.4f, 1.5f, 0.0f}, {0.7f, 0.25f, -0.06f}};

static cnn_status try_optimizer(cnn_optimizer **out, const char *text) {
    cJSON *spec = cJSON_Parse(text);
    assert_non_null(spec);
    cnn_status status = cnn_optimizer_new(out, spec);
    cJSON_Delete(spec);
    return status;
}

static cnn_optimizer *make(const char *text) {
    cnn_optimizer *optimizer = NULL;
    OK(try_optimizer(&optimizer, text));
    return optimizer;
}

/* Steps from..to-1 of the three. */
static void steps(cnn_optimizer *optimizer, float *weights, float l1, float l2, int from, int to) {
    for (int t = from; t < to; t++) {
        float gradient[3];
        memcpy(gradient, gradients[t], sizeof gradient);
        cnn_update update = {.weights = weights, .gradient = gradient, .size = 3, .l1 = l1, .l2 = l2};
        OK(cnn_optimizer_step(optimizer, &update, 1));
    }
}

static void expect_steps(const char *text, float l1, float l2, const double expected[3]) {
    cnn_optimizer *optimizer = make(text);
    float weights[3];
    memcpy(weights, first, sizeof weights);
    steps(optimizer, weights, l1, l2, 0, 3);
    for (int i = 0; i < 3; i++)
        if (!(fabs((double)weights[i] - expected[i]) < 1e-6)) {
            print_error("%s: weight %d is %.9g, not %.9g\n", text, i, (double)weights[i], expected[i]);
            fail();
        }
    assert_int_equal(optimizer->iterations, 3);
    cnn_optimizer_free(optimizer);
}

static void takes_kerass_steps(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double expected[3];
    } cases[] = {
        {"\"SGD\"", {0.496, -1.2475, 2.0003}},
        {"{\"class_name\": \"SGD\", \"config\": {\"momentum\": 0.9}}", {0.49789, -1.2268, 1.999787}},
        {"{\"class_name\": \"SGD\", \"config\": {\"momentum\": 0.9, \"nesterov\": true}}",
         {0.494101, -1.22662, 2.0001083}},
        {"{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1, \"weight_decay\": 0.5}}",
         {0.3876625, -1.05871875, 1.7180425}},
        {"\"rmsprop\"", {0.497152332, -1.2491414, 1.99972289}},
        {"{\"class_name\": \"RMSprop\", \"config\": {\"learning_rate\": 0.01, \"rho\": 0.8, \"momentum\": "
         "0.9}}",
         {0.461056918, -1.21935883, 1.96017951}},
        {"{\"class_name\": \"RMSprop\", \"config\": {\"learning_rate\": 0.01, \"centered\": true}}",
         {0.470337682, -1.23971854, 1.99595534}},
        {"{\"class_name\": \"RMSprop\", \"config\": {\"learning_rate\": 0.01, \"centered\": true, "
         "\"momentum\": 0.5}}",
         {0.461180636, -1.2245319, 1.97097076}},
        {"\"adam\"", {0.499228444, -1.24890559, 1.99867014}},
        {"{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": 0.01, \"beta_2\": 0.5, \"amsgrad\": "
         "true}}",
         {0.492203319, -1.23901461, 1.98701639}},
        {"\"adamw\"", {0.49922245, -1.2488906, 1.99864615}},
        {"\"adagrad\"", {0.499665334, -1.24970625, 2.00009116}},
        {"{\"class_name\": \"Adagrad\", \"config\": {\"learning_rate\": 0.1, \"initial_accumulator_value\": "
         "0.5}}",
         {0.469871609, -1.22303239, 2.00420853}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_steps(cases[i].spec, 0, 0, cases[i].expected);
}

static void clips_and_regularizes(void **state) {
    (void)state;
    expect_steps("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1, \"clipvalue\": 0.5}}", 0, 0,
                 (double[]){0.48, -1.275, 2.003});
    expect_steps("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1, \"clipnorm\": 0.5}}", 0, 0,
                 (double[]){0.463452097, -1.26514203, 2.00327397});
    expect_steps("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1, \"global_clipnorm\": 0.5}}",
                 0, 0, (double[]){0.463452097, -1.26514203, 2.00327397});
    expect_steps("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1}}", 0.01f, 0.02f,
                 (double[]){0.450955792, -1.2080687, 1.97613181});
    /* A norm that is never reached changes nothing, nor does it lose the regularizer's part. */
    expect_steps("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1, \"clipnorm\": 100}}", 0.01f,
                 0.02f, (double[]){0.450955792, -1.2080687, 1.97613181});
}

/* Gradients (3, 4) and (12): by variable, norms 5 and 12; over all, 13. */
static void clips_by_variable_or_over_all(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        float expected[3];
    } cases[] = {
        {"{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 1, \"clipnorm\": 6}}", {-3, -4, -6}},
        {"{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 1, \"global_clipnorm\": 6.5}}",
         {-1.5f, -2, -6}}};
    for (int i = 0; i < 2; i++) {
        cnn_optimizer *optimizer = make(cases[i].spec);
        float w[3] = {0}, a[2] = {3, 4}, b[1] = {12};
        cnn_update updates[] = {{.weights = w, .gradient = a, .size = 2},
                                {.weights = w + 2, .gradient = b, .size = 1}};
        OK(cnn_optimizer_step(optimizer, updates, 2));
        for (int k = 0; k < 3; k++) assert_float_equal(w[k], cases[i].expected[k], 1e-6);
        cnn_optimizer_free(optimizer);
    }
}

static void shows_a_gradient_that_is_not_a_number(void **state) {
    (void)state;
    static const char *const specs[] = {"\"sgd\"",
                                        "{\"class_name\": \"SGD\", \"config\": {\"clipvalue\": 1}}",
                                        "{\"class_name\": \"SGD\", \"config\": {\"clipnorm\": 1}}",
                                        "{\"class_name\": \"SGD\", \"config\": {\"global_clipnorm\": 1}}",
                                        "\"adam\"",
                                        "\"rmsprop\"",
                                        "\"adagrad\"",
                                        "{\"class_name\": \"RMSprop\", \"config\": {\"centered\": true}}"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        cnn_optimizer *optimizer = make(specs[i]);
        float w[2] = {1, 1}, g[2] = {NAN, 1};
        cnn_update update = {.weights = w, .gradient = g, .size = 2};
        OK(cnn_optimizer_step(optimizer, &update, 1));
        assert_true(isnan(w[0]));
        cnn_optimizer_free(optimizer);
    }
}

static void leaves_a_variable_without_gradient_alone(void **state) {
    (void)state;
    cnn_optimizer *optimizer =
        make("{\"class_name\": \"SGD\", \"config\": {\"clipnorm\": 1, \"weight_decay\": 0.1}}");
    float w[2] = {1, 1}, g[1] = {0.5f};
    cnn_update updates[] = {{.weights = w, .size = 1},
                            {.weights = w + 1, .gradient = g, .size = 1},
                            {.weights = NULL, .gradient = g, .size = 0}};
    OK(cnn_optimizer_step(optimizer, updates, 3));
    assert_true(w[0] == 1);
    assert_float_equal(w[1], 0.994f, 1e-6f);
    cnn_optimizer_free(optimizer);
}

/* ---- a large step ----------------------------------------------------------------------------------------
 */

/* Sizes that make pieces of every kind: whole chunks, ends of chunks, several variables in one. */
static const int64_t sizes[] = {100003, 7, 1, 16384, 33, 40000, 0, 10};
enum { VARIABLES = sizeof sizes / sizeof *sizes, TOTAL = 100003 + 7 + 1 + 16384 + 33 + 40000 + 10 };

static void large_steps(const char *spec, float *weights) {
    cnn_optimizer *optimizer = make(spec);
    static float gradient[TOTAL];
    for (int i = 0; i < TOTAL; i++) weights[i] = (float)((i * 37) % 101 - 50) / 50;
    for (int t = 0; t < 3; t++) {
        cnn_update updates[VARIABLES];
        int64_t at = 0;
        for (int i = 0; i < TOTAL; i++) gradient[i] = (float)((i * (71 + t)) % 97 - 48) / 480;
        for (int v = 0; v < VARIABLES; at += sizes[v++])
            updates[v] = (cnn_update){.weights = weights + at,
                                      .gradient = gradient + at,
                                      .size = sizes[v],
                                      .l1 = v % 2 ? 0 : 0.001f,
                                      .l2 = v % 3 ? 0 : 0.002f};
        OK(cnn_optimizer_step(optimizer, updates, VARIABLES));
    }
    cnn_optimizer_free(optimizer);
}

static const char *const large_specs[] = {
    "{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true, \"weight_decay\": 0.01}}",
    "{\"class_name\": \"SGD\", \"config\": {\"momentum\": 0.9, \"nesterov\": true, \"clipnorm\": 0.7}}",
    "{\"class_name\": \"RMSprop\", \"config\": {\"momentum\": 0.9, \"centered\": true, \"global_clipnorm\": "
    "0.5}}",
    "{\"class_name\": \"Adagrad\", \"config\": {\"clipvalue\": 0.05}}"};

static void gives_the_same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    static float one[TOTAL], many[TOTAL];
    int before = cnn_threads();
    for (size_t s = 0; s < sizeof large_specs / sizeof *large_specs; s++) {
        OK(cnn_set_threads(1));
        large_steps(large_specs[s], one);
        for (int threads = 2; threads <= 5; threads += 3) {
            OK(cnn_set_threads(threads));
            large_steps(large_specs[s], many);
            assert_memory_equal(one, many, sizeof one);
        }
    }
    OK(cnn_set_threads(before));
}

static void gives_the_same_bits_for_any_instruction_set(void **state) {
    (void)state;
    static const char *const names[] = {"avx512", "avx2", "sse2"};
    static float best[TOTAL], other[TOTAL];
    char before[16];
    snprintf(before, sizeof before, "%s", cnn_cpu());
    for (size_t s = 0; s < sizeof large_specs / sizeof *large_specs; s++) {
        OK(cnn_set_cpu(before));
        large_steps(large_specs[s], best);
        for (int i = 0; i < 3; i++) {
            if (cnn_set_cpu(names[i]) != CNN_OK) continue;
            large_steps(large_specs[s], other);
            assert_memory_equal(best, other, sizeof best);
        }
    }
    OK(cnn_set_cpu(before));
}

/* ---- state -----------------------------------------------------------------------------------------------
 */

static void goes_on_from_copied_state(void **state) {
    (void)state;
    static const char *const specs[] = {
        "\"adam\"", "{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true}}",
        "{\"class_name\": \"RMSprop\", \"config\": {\"momentum\": 0.9, \"centered\": true}}", "\"adagrad\"",
        "{\"class_name\": \"SGD\", \"config\": {\"momentum\": 0.9, \"learning_rate\": {\"class_name\": "
        "\"ExponentialDecay\", \"config\": {\"initial_learning_rate\": 0.1, \"decay_steps\": 1, "
        "\"decay_rate\": 0.5}}}}"};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        float whole[3], parted[3];
        memcpy(whole, first, sizeof whole);
        memcpy(parted, first, sizeof parted);
        cnn_optimizer *one = make(specs[s]), *two = make(specs[s]);
        steps(one, whole, 0, 0, 0, 2);
        memcpy(parted, whole, sizeof parted);
        cnn_update update = {.weights = parted, .size = 3};
        OK(cnn_optimizer_build(two, &update, 1));
        two->iterations = one->iterations;
        for (int slot = 0; slot < ((const cnn_optimizer_class *)one->class)->slot_count; slot++) {
            float start;
            assert_int_equal(cnn_optimizer_keeps(one, slot, &start), one->slots[slot] != NULL);
            assert_int_equal(one->slots[slot] != NULL, two->slots[slot] != NULL);
            if (one->slots[slot]) memcpy(two->slots[slot], one->slots[slot], sizeof parted);
        }
        steps(one, whole, 0, 0, 2, 3);
        steps(two, parted, 0, 0, 2, 3);
        assert_memory_equal(whole, parted, sizeof whole);
        cnn_optimizer_free(one);
        cnn_optimizer_free(two);
    }
}

static void keeps_only_the_state_it_needs(void **state) {
    (void)state;
    float start;
    cnn_optimizer *sgd = make("\"sgd\""), *adam = make("\"adam\""), *adagrad = make("\"adagrad\"");
    cnn_optimizer *amsgrad = make("{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true}}");
    assert_false(cnn_optimizer_keeps(sgd, 0, &start));
    assert_true(cnn_optimizer_keeps(adam, 1, &start));
    assert_false(cnn_optimizer_keeps(adam, 2, &start));
    assert_true(cnn_optimizer_keeps(amsgrad, 2, &start));
    assert_true(cnn_optimizer_keeps(adagrad, 0, &start));
    assert_float_equal(start, 0.1, 1e-7);
    cnn_optimizer_free(sgd);
    cnn_optimizer_free(adam);
    cnn_optimizer_free(adagrad);
    cnn_optimizer_free(amsgrad);
}

static void refuses_other_variables(void **state) {
    (void)state;
    cnn_optimizer *adam = make("\"adam\"");
    float w[3] = {0}, g[3] = {0};
    cnn_update updates[] = {{.weights = w, .gradient = g, .size = 2},
                            {.weights = w + 2, .gradient = g, .size = 1}};
    OK(cnn_optimizer_step(adam, updates, 2));
    assert_fails(cnn_optimizer_step(adam, updates, 1), CNN_ERROR_STATE,
                 "Adam: has state for 2 variables, got 1; compile the model anew");
    updates[1].size = 3;
    assert_fails(cnn_optimizer_step(adam, updates, 2), CNN_ERROR_STATE,
                 "Adam: has state for 1 elements of variable 1, got 3");
    assert_int_equal(adam->iterations, 1);
    cnn_optimizer_free(adam);
}

static cnn_status make_and_step(cnn_tensor **out, void *spec) {
    cnn_optimizer *optimizer;
    float w[3] = {0}, g[3] = {1, 2, 3};
    cnn_update updates[] = {{.weights = w, .gradient = g, .size = 2},
                            {.weights = w + 2, .gradient = g, .size = 1}};
    (void)out;
    cnn_status status = try_optimizer(&optimizer, spec);
    if (status != CNN_OK) return status;
    status = cnn_optimizer_step(optimizer, updates, 2);
    if (status != CNN_OK && (w[0] != 0 || optimizer->iterations != 0 || optimizer->variable_count != 0))
        status = CNN_ERROR_STATE;
    cnn_optimizer_free(optimizer);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    assert_survives(make_and_step,
                    "{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true, \"clipnorm\": 1}}");
    assert_survives(make_and_step,
                    "{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": {\"class_name\": "
                    "\"CosineDecay\", \"config\": {\"initial_learning_rate\": 1, \"decay_steps\": 9}}}}");
}

/* ---- arguments -------------------------------------------------------------------------------------------
 */

static void refuses_wrong_arguments(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"adamm\"", "unknown optimizer 'adamm' (did you mean 'adam'?)"},
        {"{\"class_name\": \"Adam\", \"config\": {\"beta1\": 0.9}}",
         "Adam: unknown argument 'beta1' (did you mean 'beta_1'?)"},
        {"{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": \"fast\"}}",
         "Adam: 'learning_rate' must be a number, at least 0, or a schedule {\"class_name\", \"config\"}"},
        {"{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": -1}}",
         "SGD: 'learning_rate' must be a number"},
        {"{\"class_name\": \"SGD\", \"config\": {\"momentum\": 1.5}}",
         "SGD: 'momentum' must be between 0 and 1, got 1.5"},
        {"{\"class_name\": \"SGD\", \"config\": {\"clipnorm\": 1, \"clipvalue\": 2}}",
         "SGD: only one of 'clipnorm', 'clipvalue' and 'global_clipnorm' can be set, got 'clipnorm' and "
         "'clipvalue'"},
        {"{\"class_name\": \"SGD\", \"config\": {\"clipnorm\": 0}}",
         "SGD: 'clipnorm' must be greater than 0, got 0"},
        {"{\"class_name\": \"Adam\", \"config\": {\"use_ema\": true}}",
         "Adam: 'use_ema' is not supported: it must be false, got true"},
        {"{\"class_name\": \"Adam\", \"config\": {\"gradient_accumulation_steps\": 4}}",
         "Adam: 'gradient_accumulation_steps' is not supported: it must be null, got 4"},
        {"{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": {\"class_name\": \"CosineDecay\", "
         "\"config\": "
         "{\"initial_learning_rate\": 1, \"decay_steps\": 0}}}}",
         "CosineDecay: 'decay_steps' must be greater than 0, got 0"},
        {"{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": {\"class_name\": "
         "\"PiecewiseConstantDecay\", "
         "\"config\": {\"boundaries\": [1], \"values\": [1]}}}}",
         "PiecewiseConstantDecay: 'values' must be one longer than 'boundaries', got 1 and 1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_optimizer *optimizer = NULL;
        assert_fails(try_optimizer(&optimizer, cases[i][0]), CNN_ERROR_ARGUMENT, cases[i][1]);
        assert_null(optimizer);
    }
}

static void reads_the_configs_keras_saves(void **state) {
    (void)state;
    cnn_optimizer *optimizer = make(
        "{\"module\": \"keras.optimizers\", \"class_name\": \"Adam\", \"config\": {\"name\": \"adam\", "
        "\"learning_rate\": 0.0005, \"weight_decay\": null, \"clipnorm\": null, \"global_clipnorm\": null, "
        "\"clipvalue\": null, \"use_ema\": false, \"ema_momentum\": 0.99, \"ema_overwrite_frequency\": null, "
        "\"loss_scale_factor\": null, \"gradient_accumulation_steps\": null, \"beta_1\": 0.9, \"beta_2\": "
        "0.999, "
        "\"epsilon\": 1e-07, \"amsgrad\": false, \"jit_compile\": true, \"is_legacy_optimizer\": false, "
        "\"decay\": "
        "0.0}, \"registered_name\": null}");
    assert_true(cnn_optimizer_rate(optimizer) == 0.0005);
    OK(cnn_optimizer_set_rate(optimizer, 0.25));
    cJSON *config = cnn_optimizer_config(optimizer);
    assert_true(cJSON_GetObjectItem(config, "learning_rate")->valuedouble == 0.25);
    assert_true(cJSON_GetObjectItem(config, "beta_2")->valuedouble == 0.999);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(config, "clipnorm")));
    cJSON_Delete(config);
    assert_fails(cnn_optimizer_set_rate(optimizer, -1), CNN_ERROR_ARGUMENT,
                 "Adam: the learning rate must be a number, at least 0, got -1");
    cnn_optimizer_free(optimizer);
}

/* ---- schedules -------------------------------------------------------------------------------------------
 */

static void expect_rates(const char *text, const double (*rates)[2], int count) {
    cJSON *spec = cJSON_Parse(text);
    cnn_schedule *schedule = NULL;
    OK(cnn_schedule_new(&schedule, spec));
    for (int i = 0; i < count; i++)
        assert_true(fabs(cnn_schedule_rate(schedule, (int64_t)rates[i][0]) - rates[i][1]) < 1e-12);
    cnn_schedule_free(schedule);
    cJSON_Delete(spec);
}

static void schedules_rates(void **state) {
    (void)state;
    expect_rates("{\"class_name\": \"ExponentialDecay\", \"config\": {\"initial_learning_rate\": 0.1, "
                 "\"decay_steps\": 10, \"decay_rate\": 0.25}}",
                 (double[][2]){{0, 0.1}, {5, 0.05}, {10, 0.025}, {20, 0.00625}}, 4);
    expect_rates("{\"class_name\": \"ExponentialDecay\", \"config\": {\"initial_learning_rate\": 0.1, "
                 "\"decay_steps\": 10, \"decay_rate\": 0.5, \"staircase\": true}}",
                 (double[][2]){{0, 0.1}, {9, 0.1}, {10, 0.05}, {29, 0.025}}, 4);
    expect_rates(
        "{\"class_name\": \"CosineDecay\", \"config\": {\"initial_learning_rate\": 0.2, \"decay_steps\": "
        "100, \"alpha\": 0.1}}",
        (double[][2]){{0, 0.2}, {50, 0.11}, {100, 0.02}, {1000, 0.02}}, 4);
    expect_rates(
        "{\"class_name\": \"CosineDecay\", \"config\": {\"initial_learning_rate\": 0, \"decay_steps\": 100, "
        "\"warmup_target\": 0.4, \"warmup_steps\": 10}}",
        (double[][2]){{0, 0}, {5, 0.2}, {10, 0.4}, {60, 0.2}, {110, 0}, {200, 0}}, 6);
    expect_rates(
        "{\"class_name\": \"PiecewiseConstantDecay\", \"config\": {\"boundaries\": [10, 20], \"values\": [1, "
        "0.5, 0.1]}}",
        (double[][2]){{0, 1}, {10, 1}, {11, 0.5}, {20, 0.5}, {21, 0.1}}, 5);
}

static void a_schedule_sets_the_rate(void **state) {
    (void)state;
    cnn_optimizer *optimizer = make("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": "
                                    "{\"class_name\": \"PiecewiseConstantDecay\", "
                                    "\"config\": {\"boundaries\": [0], \"values\": [1, 0.5]}}}}");
    float w = 0, g = 1;
    cnn_update update = {.weights = &w, .gradient = &g, .size = 1};
    OK(cnn_optimizer_step(optimizer, &update, 1));
    assert_true(w == -1);
    OK(cnn_optimizer_step(optimizer, &update, 1));
    assert_true(w == -1.5f);
    assert_fails(cnn_optimizer_set_rate(optimizer, 1), CNN_ERROR_STATE,
                 "SGD: the learning rate cannot be set: the schedule PiecewiseConstantDecay sets it");
    cJSON *config = cnn_optimizer_config(optimizer);
    assert_true(cJSON_IsObject(cJSON_GetObjectItem(config, "learning_rate")));
    cJSON_Delete(config);
    cnn_optimizer_free(optimizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_kerass_steps),
        cmocka_unit_test(clips_and_regularizes),
        cmocka_unit_test(clips_by_variable_or_over_all),
        cmocka_unit_test(shows_a_gradient_that_is_not_a_number),
        cmocka_unit_test(leaves_a_variable_without_gradient_alone),
        cmocka_unit_test(gives_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(gives_the_same_bits_for_any_instruction_set),
        cmocka_unit_test(goes_on_from_copied_state),
        cmocka_unit_test(keeps_only_the_state_it_needs),
        cmocka_unit_test(refuses_other_variables),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(refuses_wrong_arguments),
        cmocka_unit_test(reads_the_configs_keras_saves),
        cmocka_unit_test(schedules_rates),
        cmocka_unit_test(a_schedule_sets_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
