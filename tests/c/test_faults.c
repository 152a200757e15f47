/* Exhausted memory: the first, second, third, … allocation fails in turn while a model is built, compiled, trained, evaluated,
 * used and described. Each time the call says so or does without; nothing leaks; and the model goes on as if nothing had
 * happened. */
#include "net.h"

#include "base/parallel.h"
#include "base/status.h"
#include "train/trainer.h"

enum { SAMPLES = 13, CLASSES = 3 };

/* ---- failing --------------------------------------------------------------------------------------------- */

static int left;
static bool for_good; /* not one allocation fails but all from then on */

static bool fail_in_turn(size_t size, void *data) {
    (void)size;
    (void)data;
    left--;
    return for_good ? left < 0 : left == -1;
}

/* Runs the call with its n-th allocation failing. True if it got by without reaching that. */
static bool survives(int n, cnn_status (*call)(void *context), void *context) {
    left = n;
    cnn_set_alloc_hook(fail_in_turn, NULL);
    cnn_status status = call(context);
    cnn_set_alloc_hook(NULL, NULL);
    if (status != CNN_OK && status != CNN_ERROR_MEMORY)
        fail_msg("allocation %d: status %d, %s", n, (int)status, cnn_error_message());
    if (status == CNN_ERROR_MEMORY) assert_non_null(strstr(cnn_error_message(), "memory"));
    if (left >= 0) assert_int_equal(status, CNN_OK);
    return left >= 0;
}

/* ---- models ---------------------------------------------------------------------------------------------- */

typedef cnn_status builder(cnn_model **out);

static cnn_status build_sequential(cnn_model **out) {
    static const char *const layers[][2] = {
        {"Conv2D",
         "{\"filters\": 3, \"kernel_size\": 3, \"activation\": \"relu\", \"input_shape\": [7, 7, 1]}"},
        {"MaxPooling2D", NULL},
        {"Dropout", "{\"rate\": 0.25, \"seed\": 3}"},
        {"Flatten", NULL},
        {"Dense", "{\"units\": 5, \"kernel_regularizer\": \"l2\"}"},
        {"Dense", "{\"units\": 3, \"activation\": \"softmax\"}"}};
    cnn_model *model = NULL;
    cnn_status status = cnn_sequential_new(&model, "net");
    for (int i = 0; status == CNN_OK && i < 6; i++)
        status = cnn_model_add_new(model, layers[i][0], layers[i][1]);
    if (status != CNN_OK)
        cnn_model_release(model);
    else
        *out = model;
    return status;
}

static cnn_status through(cnn_tensor **out, const char *class, const char *config, cnn_tensor *x) {
    cnn_layer *made = NULL;
    cnn_status status = cnn_layer_new(&made, class, config);
    if (status == CNN_OK) status = cnn_layer_call(out, made, &x, 1, false);
    cnn_layer_release(made);
    return status;
}

/* Two branches that an op joins; a Sequential as the last layer. */
static cnn_status build_functional(cnn_model **out) {
    cnn_tensor *x = NULL, *flat = NULL, *a = NULL, *b = NULL, *sum = NULL, *y = NULL;
    cnn_model *inner = NULL, *model = NULL;
    cnn_status status = cnn_input(&x, SHAPE(7, 7, 1), CNN_FLOAT32, "x");
    if (status == CNN_OK) status = through(&flat, "Flatten", NULL, x);
    if (status == CNN_OK) status = through(&a, "Dense", "{\"units\": 4, \"activation\": \"tanh\"}", flat);
    if (status == CNN_OK) status = through(&b, "Dense", "{\"units\": 4, \"use_bias\": false}", flat);
    if (status == CNN_OK) status = cnn_apply(&sum, "multiply", NULL, (cnn_tensor *[]){a, b}, 2);
    if (status == CNN_OK) status = cnn_sequential_new(&inner, "inner");
    if (status == CNN_OK)
        status = cnn_model_add_new(inner, "Dense", "{\"units\": 3, \"activation\": \"softmax\"}");
    if (status == CNN_OK) status = cnn_layer_call(&y, cnn_model_as_layer(inner), &sum, 1, false);
    if (status == CNN_OK) status = cnn_functional_new(&model, "net", &x, 1, &y, 1);
    if (status == CNN_OK) *out = model;
    cnn_tensor *made[] = {x, flat, a, b, sum, y};
    for (int i = 0; i < 6; i++) cnn_tensor_release(made[i]);
    cnn_model_release(inner);
    return status;
}

static builder *const builders[] = {build_sequential, build_functional};
enum { BUILDERS = sizeof builders / sizeof *builders };

/* Memory that stays once it was taken: names of layers and the like come from tables, so there should be none. */
static cnn_status build_and_release(void *context) {
    cnn_model *model = NULL;
    CNN_TRY((*(builder **)context)(&model));
    cnn_model_release(model);
    return CNN_OK;
}

static void building_survives(void **state) {
    (void)state;
    for (int i = 0; i < 2 * BUILDERS; i++) {
        builder *build = builders[i / 2];
        size_t before = cnn_memory_used();
        for_good = i % 2;
        bool done = false;
        for (int n = 0; !done; n++) {
            done = survives(n, build_and_release, &build);
            assert_int_equal(cnn_memory_used(), before);
        }
    }
    for_good = false;
}

/* ---- adding, one layer at a time ---------------------------------------------------------------------------- */

static cnn_status add_dense(void *model) {
    return cnn_model_add_new(model, "Dense", "{\"units\": 2}");
}

static cnn_status pop_layer(void *model) {
    return cnn_model_pop(model);
}

static void a_failed_add_leaves_the_model_as_it_was(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    bool done = false;
    for (int n = 0; !done; n++) {
        cnn_model *model = NULL;
        OK(build_sequential(&model));
        done = survives(n, add_dense, model);
        int layers = done ? 7 : cnn_model_layer_count(model);
        assert_int_equal(cnn_model_layer_count(model), layers);
        assert_int_equal(cnn_model_count_params(model), 30 + 65 + 18 + (layers == 7 ? 8 : 0));
        assert_int_equal(model->outputs[0]->shape[1], layers == 7 ? 2 : 3);
        OK(cnn_model_add_new(model, "Dense", "{\"units\": 9}"));
        assert_true(survives(0, pop_layer, model)); /* needs no memory at all */
        cnn_model_release(model);
        assert_int_equal(cnn_memory_used(), before);
    }
}

/* ---- the rest ----------------------------------------------------------------------------------------------- */

/* A model with data, and what its calls gave. */
typedef struct fixture {
    builder *build;
    cnn_model *model;
    cnn_tensor *x, *y, *start,
        *predicted; /* start: the first weights of each variable, one after the other */
    double values[2];
    char *text;
    size_t before;
} fixture;

static void copy_weights(const cnn_model *model, float *block, bool restore) {
    const cnn_layer *layer = cnn_model_as_layer((cnn_model *)model);
    for (int i = 0; i < cnn_layer_variable_count(layer); i++) {
        cnn_tensor *v = cnn_layer_variable(layer, i)->value;
        if (restore)
            memcpy(v->data, block, cnn_tensor_bytes(v));
        else
            memcpy(block, v->data, cnn_tensor_bytes(v));
        block += v->size;
    }
}

static const char compile_config[] =
    "{\"optimizer\": \"adam\", \"loss\": \"sparse_categorical_crossentropy\", \"metrics\": [\"accuracy\"]}";

static void open_fixture(fixture *f, builder *build) {
    *f = (fixture){.build = build, .before = cnn_memory_used()};
    cnn_clear_session();
    cnn_set_seed(5);
    OK(build(&f->model));
    OK(cnn_tensor_new(&f->x, CNN_UINT8, SHAPE(SAMPLES, 7, 7, 1)));
    for (int64_t i = 0; i < f->x->size; i++) cnn_u8(f->x)[i] = (uint8_t)(i * 37 % 5);
    OK(cnn_tensor_new(&f->y, CNN_INT32, SHAPE(SAMPLES)));
    for (int64_t i = 0; i < SAMPLES; i++) cnn_i32(f->y)[i] = (int32_t)(i % CLASSES);
    OK(cnn_tensor_new(&f->start, CNN_FLOAT32, SHAPE(cnn_model_count_params(f->model))));
    fill_random(f->start, 23);
    copy_weights(f->model, cnn_f32(f->start), true);
    cnn_set_seed(6);
    OK(cnn_model_compile(f->model, compile_config));
}

static void close_fixture(fixture *f) {
    cnn_tensor_release(f->x);
    cnn_tensor_release(f->y);
    cnn_tensor_release(f->start);
    cnn_tensor_release(f->predicted);
    free(f->text);
    cnn_model_release(f->model);
    assert_int_equal(cnn_memory_used(), f->before);
}

static cnn_status run_compile(void *context) {
    fixture *f = context;
    return cnn_model_compile(f->model, compile_config);
}

static cnn_status run_fit(void *context) {
    fixture *f = context;
    cnn_fit_options o = {.x = f->x, .y = f->y, .batch_size = 8, .validation_split = .3, .epochs = 2};
    cnn_history *history = NULL;
    cnn_status status = cnn_model_fit(f->model, &o, &history);
    cnn_history_release(history);
    return status;
}

static cnn_status run_batch(void *context) {
    fixture *f = context;
    return cnn_model_train_on_batch(f->model, f->x, f->y, NULL, f->values, 2);
}

static cnn_status run_evaluate(void *context) {
    fixture *f = context;
    return cnn_model_evaluate(f->model, &(cnn_fit_options){.x = f->x, .y = f->y, .batch_size = 8}, f->values,
                              2);
}

static cnn_status run_predict(void *context) {
    fixture *f = context;
    cnn_tensor *y = NULL;
    CNN_TRY(cnn_model_predict(&y, f->model, &(cnn_fit_options){.x = f->x, .batch_size = 5}));
    cnn_tensor_release(f->predicted);
    f->predicted = y;
    return CNN_OK;
}

static cnn_status run_summary(void *context) {
    fixture *f = context;
    char *text = NULL;
    CNN_TRY(cnn_model_summary(&text, f->model, 0, false));
    free(f->text);
    f->text = text;
    return CNN_OK;
}

static cnn_status run_config(void *context) {
    fixture *f = context;
    for (int i = 0; i < cnn_model_layer_count(f->model); i++) {
        char *text = NULL;
        CNN_TRY(cnn_layer_config(&text, cnn_model_layer(f->model, i)));
        free(text);
    }
    return CNN_OK;
}

static cnn_status run_call(void *context) {
    fixture *f = context;
    cnn_tensor *x = NULL, *y = NULL;
    CNN_TRY(cnn_cast(&x, f->x, CNN_FLOAT32));
    cnn_status status = cnn_layer_call(&y, cnn_model_as_layer(f->model), &x, 1, true);
    cnn_tensor_release(x);
    cnn_tensor_release(y);
    return status;
}

/* From the first weights on, with an optimizer that has not stepped yet. */
static void begin_anew(fixture *f) {
    copy_weights(f->model, cnn_f32(f->start), true);
    cnn_set_seed(6);
    OK(cnn_model_compile(f->model, compile_config));
}

/* All that can be seen of a model: a few steps from the first weights, then the rest. */
static void observe(fixture *f, float *weights) {
    begin_anew(f);
    OK(run_fit(f));
    OK(run_batch(f));
    OK(run_evaluate(f));
    OK(run_predict(f));
    OK(run_summary(f));
    copy_weights(f->model, weights, false);
}

static void expect_same(const fixture *f, const fixture *undisturbed, const float *got, const float *want) {
    assert_memory_equal(got, want, cnn_tensor_bytes(f->start));
    assert_memory_equal(f->values, undisturbed->values, sizeof f->values);
    assert_memory_equal(f->predicted->data, undisturbed->predicted->data, cnn_tensor_bytes(f->predicted));
    assert_string_equal(f->text, undisturbed->text);
}

static void check_call(cnn_status (*call)(void *context)) {
    for (int i = 0; i < BUILDERS; i++) {
        fixture undisturbed;
        open_fixture(&undisturbed, builders[i]);
        float *want = malloc(cnn_tensor_bytes(undisturbed.start)),
              *got = malloc(cnn_tensor_bytes(undisturbed.start));
        observe(&undisturbed, want);
        bool done = false;
        for (int n = 0; !done; n++) {
            fixture f;
            open_fixture(&f, builders[i]);
            done = survives(n, call, &f);
            OK(call(&f)); /* the same again, now with memory */
            observe(&f, got);
            expect_same(&f, &undisturbed, got, want);
            close_fixture(&f);
        }
        free(want);
        free(got);
        close_fixture(&undisturbed);
    }
}

static void compiling_survives(void **state) {
    (void)state;
    check_call(run_compile);
}

static void fitting_survives(void **state) {
    (void)state;
    check_call(run_fit);
}

static void a_training_step_survives(void **state) {
    (void)state;
    check_call(run_batch);
    for_good = true;
    check_call(run_batch);
    for_good = false;
}

static void evaluating_survives(void **state) {
    (void)state;
    check_call(run_evaluate);
}

static void predicting_survives(void **state) {
    (void)state;
    check_call(run_predict);
}

static void describing_survives(void **state) {
    (void)state;
    check_call(run_summary);
    check_call(run_config);
}

static void calling_survives(void **state) {
    (void)state;
    check_call(run_call);
}

/* More threads than a plan has memory for, when there is none: its weights must still be made ready afterwards. */
static void growing_for_more_threads_survives(void **state) {
    (void)state;
    int threads = cnn_threads();
    fixture f, undisturbed;
    cnn_set_threads(1);
    open_fixture(&undisturbed, build_sequential);
    OK(run_predict(&undisturbed));
    open_fixture(&f, build_sequential);
    OK(run_predict(&f));
    fill_random(f.start, 99);
    copy_weights(f.model, cnn_f32(f.start), true);
    copy_weights(undisturbed.model, cnn_f32(f.start), true);
    OK(run_predict(&undisturbed));
    cnn_set_threads(3);
    bool done = false;
    for (int n = 0; !done; n++) done = survives(n, run_predict, &f);
    assert_memory_equal(f.predicted->data, undisturbed.predicted->data, cnn_tensor_bytes(f.predicted));
    cnn_set_threads(threads);
    cnn_tensor_release(f.start);
    f.start = NULL;
    cnn_model_release(f.model);
    cnn_tensor_release(f.x);
    cnn_tensor_release(f.y);
    cnn_tensor_release(f.predicted);
    close_fixture(&undisturbed);
}

int main(void) {
    cnn_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(building_survives),        cmocka_unit_test(a_failed_add_leaves_the_model_as_it_was),
        cmocka_unit_test(compiling_survives),       cmocka_unit_test(fitting_survives),
        cmocka_unit_test(a_training_step_survives), cmocka_unit_test(evaluating_survives),
        cmocka_unit_test(predicting_survives),      cmocka_unit_test(describing_survives),
        cmocka_unit_test(calling_survives),         cmocka_unit_test(growing_for_more_threads_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
