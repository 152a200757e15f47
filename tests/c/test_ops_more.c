/* Ops of the layers beside the first ones: batch normalization against the numbers of another framework, and what is
 * particular to it; ops against each other; values; what errors say. */
#include "op_case.h"
#include "oracle.h"

#include "base/parallel.h"
#include "kernels/kernels.h"

#include <limits.h>

enum { X, GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE, FROZEN, INPUTS };

static void for_each_cpu(void (*check)(void)) {
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int i = 0; i < count; i++) {
        OK(cnn_set_cpu(cpus[i]));
        check();
    }
}

static void assert_near(const char *what, const cnn_tensor *got, const cnn_tensor *want, double tolerance) {
    double largest = 1e-3;
    assert_true(cnn_same_shape(got, want));
    for (int64_t i = 0; i < want->size; i++) largest = fmax(largest, fabs(cnn_f32(want)[i]));
    for (int64_t i = 0; i < want->size; i++)
        if (!(fabs((double)cnn_f32(got)[i] - (double)cnn_f32(want)[i]) <= tolerance * largest)) {
            print_error("%s (%s): element %d is %.9g, not %.9g\n", what, cnn_cpu(), (int)i, cnn_f32(got)[i],
                        cnn_f32(want)[i]);
            fail();
        }
}

/* ---- batch normalization ------------------------------------------------------------------------------- */

/* The vector in a field, or one of this value where it is false. */
static cnn_tensor *vector_field(lua_State *L, int at, const char *field, int64_t channels, double fallback) {
    cnn_tensor *t = oracle_field(L, at, field);
    if (!t) OK(cnn_tensor_full(&t, CNN_FLOAT32, 1, &channels, fallback));
    return t;
}

/* One step of the case on the top of the stack; vectors are those of the case. */
static void check_step(lua_State *L, const char *attributes, cnn_tensor *const *vectors, bool training) {
    int at = lua_gettop(L);
    cnn_tensor *inputs[INPUTS] = {oracle_field(L, at, "x")}, *grads[3] = {0};
    for (int i = GAMMA; i < INPUTS; i++) inputs[i] = cnn_tensor_retain(vectors[i]);
    op_run r;
    run_open_with(&r, training ? "!batch_normalization" : "batch_normalization", attributes, inputs, INPUTS);
    cnn_tensor *output = oracle_field(L, at, "output"), *grad_output = oracle_field(L, at, "grad_output");
    int n_grads = oracle_list(L, at, "grad_inputs", grads, 3);
    OK(run_forward(&r));
    assert_near("output", r.output, output, 1e-5);
    memcpy(r.grad_output->data, grad_output->data, cnn_tensor_bytes(grad_output));
    OK(run_backward(&r));
    for (int i = 0; i < n_grads; i++) {
        assert_near("gradient", r.grads[i], grads[i], 2e-5);
        cnn_tensor_release(grads[i]);
    }
    if (training) {
        cnn_tensor *mean = oracle_field(L, at, "moving_mean"),
                   *variance = oracle_field(L, at, "moving_variance");
        assert_near("moving mean", r.inputs[MOVING_MEAN], mean, 1e-5);
        assert_near("moving variance", r.inputs[MOVING_VARIANCE], variance, 1e-5);
        cnn_tensor_release(mean);
        cnn_tensor_release(variance);
    }
    cnn_tensor_release(output);
    cnn_tensor_release(grad_output);
    run_close(&r);
}

/* The case on the top of the stack: three steps of training, then inference with the statistics reached. */
static void check_case(lua_State *L) {
    int at = lua_gettop(L);
    cnn_tensor *vectors[INPUTS] = {NULL};
    vectors[MOVING_MEAN] = oracle_field(L, at, "moving_mean");
    vectors[MOVING_VARIANCE] = oracle_field(L, at, "moving_variance");
    vectors[GAMMA] = vector_field(L, at, "gamma", vectors[MOVING_MEAN]->size, 1);
    vectors[BETA] = vector_field(L, at, "beta", vectors[MOVING_MEAN]->size, 0);
    OK(cnn_tensor_new(&vectors[FROZEN], CNN_INT32, 1, I64(1)));
    lua_getfield(L, at, "attributes");
    cJSON *json = oracle_json(L, -1);
    cJSON_DeleteItemFromObject(json, "center");
    cJSON_DeleteItemFromObject(json, "scale");
    char *attributes = cJSON_PrintUnformatted(json);
    lua_getfield(L, at, "steps");
    for (int i = 1; i <= 3; i++) {
        lua_rawgeti(L, at + 2, i);
        check_step(L, attributes, vectors, true);
        lua_settop(L, at + 2);
    }
    lua_getfield(L, at, "inference");
    check_step(L, attributes, vectors, false);
    /* Frozen in training: the same, and the moving statistics stay. */
    cnn_i32(vectors[FROZEN])[0] = 1;
    cnn_tensor *mean = NULL;
    OK(cnn_copy(&mean, vectors[MOVING_MEAN]));
    cnn_tensor *x = oracle_field(L, at + 3, "x"), *want = oracle_field(L, at + 3, "output"), *y = NULL;
    cnn_tensor *inputs[INPUTS] = {x};
    for (int i = GAMMA; i < INPUTS; i++) inputs[i] = vectors[i];
    const cnn_op *op;
    void *object = NULL;
    OK(cnn_op_find(&op, "batch_normalization"));
    OK(cnn_object_new(&object, &op->class, json));
    OK(cnn_op_apply(&y, op, object, inputs, INPUTS, true));
    assert_near("frozen", y, want, 1e-5);
    assert_memory_equal(mean->data, vectors[MOVING_MEAN]->data, cnn_tensor_bytes(mean));
    cnn_object_free(object);
    for (int i = 0; i < 4; i++) cnn_tensor_release(((cnn_tensor *[]){mean, x, want, y})[i]);
    for (int i = GAMMA; i < INPUTS; i++) cnn_tensor_release(vectors[i]);
    cJSON_Delete(json);
    free(attributes);
    lua_settop(L, at);
}

static void check_batchnorm_file(void) {
    lua_State *L = oracle_open("batchnorm");
    int count = (int)lua_rawlen(L, -1);
    assert_true(count >= 4);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        check_case(L);
        lua_settop(L, 1);
    }
    lua_close(L);
}

static void batch_normalization_agrees_in_training_and_inference(void **state) {
    (void)state;
    for_each_cpu(check_batchnorm_file);
}

/* The mean is 10000 times the standard deviation: Σx² - (Σx)²/n in float32 would give noise. */
static void check_far_mean(void) {
    enum { ROWS = 5003 };
    for (int channels = 1; channels <= 67; channels += 33) {
        cnn_tensor *x = NULL;
        OK(cnn_tensor_new(&x, CNN_FLOAT32, 2, I64(ROWS, channels)));
        for (int64_t i = 0; i < x->size; i++) cnn_f32(x)[i] = 10000 + (float)(i / channels % 4);
        double mean[67], squares[67];
        cnn_kernel()->batch_moments(cnn_f32(x), ROWS, channels, mean, squares);
        for (int c = 0; c < channels; c++) {
            assert_true(fabs(mean[c] - 10001.5) < 1e-3);
            assert_true(fabs(squares[c] / ROWS - 1.25) < 1e-3);
        }
        cnn_tensor_release(x);
    }
}

static void variance_survives_a_mean_far_from_zero(void **state) {
    (void)state;
    for_each_cpu(check_far_mean);
}

/* Mean and variance, and the sums of backward, of every number of channels around the widths of vectors. */
static void check_moments(void) {
    for (int channels = 1; channels <= 140; channels += channels < 70 ? 1 : 23) {
        int64_t rows = 1 + 977 / channels * 3;
        uint32_t state = (uint32_t)channels;
        float *x = malloc(sizeof *x * (size_t)(rows * channels)),
              *dy = malloc(sizeof *dy * (size_t)(rows * channels));
        float center[140];
        double mean[140], squares[140], sums[140], dots[140];
        for (int64_t i = 0; i < rows * channels; i++) {
            x[i] = (float)(4 * draw_unit(&state) - 1);
            dy[i] = (float)(2 * draw_unit(&state) - 1);
        }
        for (int c = 0; c < channels; c++) center[c] = 0.25f * (float)c;
        cnn_kernel()->batch_moments(x, rows, channels, mean, squares);
        cnn_kernel()->batch_sums(x, dy, center, rows, channels, sums, dots);
        for (int c = 0; c < channels; c++) {
            double m = 0, s = 0, sum = 0, dot = 0;
            for (int64_t r = 0; r < rows; r++) m += x[r * channels + c] / (double)rows;
            for (int64_t r = 0; r < rows; r++) {
                double d = x[r * channels + c] - m, g = dy[r * channels + c];
                s += d * d;
                sum += g;
                dot += g * ((double)x[r * channels + c] - (double)center[c]);
            }
            assert_true(fabs(mean[c] - m) < 1e-5);
            assert_true(fabs(squares[c] - s) < 1e-5 * (1 + s));
            assert_true(fabs(sums[c] - sum) < 1e-4);
            assert_true(fabs(dots[c] - dot) < 1e-3 * (1 + center[c]));
        }
        free(x);
        free(dy);
    }
}

static void moments_are_right_for_any_number_of_channels(void **state) {
    (void)state;
    for_each_cpu(check_moments);
}

/* The moving statistics too are the same bits for any number of threads. */
static void moving_statistics_do_not_depend_on_the_number_of_threads(void **state) {
    (void)state;
    op_case c = {"!batch_normalization", NULL, {"64,31,29,17", "+17", "17", "17", "+17", "i1:1"}};
    op_run one, three;
    int threads = cnn_threads();
    run_open(&one, &c);
    run_open(&three, &c);
    OK(cnn_set_threads(1));
    OK(run_forward(&one));
    OK(cnn_set_threads(3));
    OK(run_forward(&three));
    OK(cnn_set_threads(threads));
    for (int i = MOVING_MEAN; i <= MOVING_VARIANCE; i++)
        assert_memory_equal(one.inputs[i]->data, three.inputs[i]->data, cnn_tensor_bytes(one.inputs[i]));
    run_close(&one);
    run_close(&three);
}

/* ---- one op by others ---------------------------------------------------------------------------------- */

static cnn_tensor *make(const char *text) {
    uint32_t state = 4321;
    return make_input(text, &state);
}

static cnn_tensor *apply(const char *op, const char *attributes, cnn_tensor *const *inputs, int n) {
    cnn_tensor *y = NULL;
    OK(cnn_apply(&y, op, attributes, inputs, n));
    return y;
}

static cnn_tensor *as(cnn_tensor *t, int rank, const int64_t *shape) {
    cnn_tensor *y = NULL;
    OK(cnn_reshape(&y, t, rank, shape));
    cnn_tensor_release(t);
    return y;
}

static void check_guises(void) {
    cnn_tensor *x = make("3,9,4"), *w = make("3,4,5"), *y, *want;
    cnn_tensor *picture = as(cnn_tensor_retain(x), 4, I64(3, 1, 9, 4)),
               *window = as(cnn_tensor_retain(w), 4, I64(1, 3, 4, 5));
    y = apply("conv1d", "{\"padding\": \"same\", \"strides\": 2}", (cnn_tensor *[]){x, w}, 2);
    want = as(
        apply("conv2d", "{\"padding\": \"same\", \"strides\": [1, 2]}", (cnn_tensor *[]){picture, window}, 2),
        3, I64(3, 5, 5));
    assert_near("conv1d", y, want, 0);
    for (int i = 0; i < 6; i++) cnn_tensor_release(((cnn_tensor *[]){x, w, y, want, picture, window})[i]);

    x = make("2,6,5,3");
    w = make("3,2,3,2");
    window = as(cnn_tensor_retain(w), 4, I64(3, 2, 1, 6));
    y = apply("depthwise_conv2d", "{\"strides\": 2}", (cnn_tensor *[]){x, w}, 2);
    want = apply("conv2d", "{\"strides\": 2, \"groups\": 3}", (cnn_tensor *[]){x, window}, 2);
    assert_near("depthwise_conv2d", y, want, 0);
    for (int i = 0; i < 5; i++) cnn_tensor_release(((cnn_tensor *[]){x, w, y, want, window})[i]);
}

static void convolutions_in_another_guise_are_the_2d_one(void **state) {
    (void)state;
    for_each_cpu(check_guises);
}

/* What a causal convolution gives at a moment does not depend on what comes later. */
static void causal_padding_does_not_look_ahead(void **state) {
    (void)state;
    cnn_tensor *x = make("1,9,2"), *w = make("3,2,4"), *first, *second;
    const char *attributes = "{\"padding\": \"causal\", \"dilation_rate\": 2}";
    first = apply("conv1d", attributes, (cnn_tensor *[]){x, w}, 2);
    for (int i = 5 * 2; i < 9 * 2; i++) cnn_f32(x)[i] += 1;
    second = apply("conv1d", attributes, (cnn_tensor *[]){x, w}, 2);
    assert_memory_equal(first->data, second->data, 5 * 4 * sizeof(float));
    assert_true(cnn_f32(first)[5 * 4] != cnn_f32(second)[5 * 4]);
    for (int i = 0; i < 4; i++) cnn_tensor_release(((cnn_tensor *[]){x, w, first, second})[i]);
}

/* Directly: x·w is put where each cell lands, then the borders of 'same' are cut off. */
static void check_transpose(int stride, const char *padding, int size, int before) {
    enum { H = 4, K = 3 };
    char attributes[80];
    snprintf(attributes, sizeof attributes, "{\"strides\": %d, \"padding\": \"%s\"}", stride, padding);
    cnn_tensor *x = make("1,4,1,1"), *w = make("3,1,2,1"), *b = make("2"), *y;
    y = apply("conv2d_transpose", attributes, (cnn_tensor *[]){x, w, b}, 3);
    assert_int_equal(y->shape[1], size);
    float sums[40][2];
    for (int i = 0; i < 40; i++) memcpy(sums[i], b->data, sizeof sums[i]);
    for (int i = 0; i < H; i++)
        for (int k = 0; k < K; k++)
            for (int c = 0; c < 2; c++) sums[i * stride + k][c] += cnn_f32(x)[i] * cnn_f32(w)[k * 2 + c];
    for (int i = 0; i < size; i++)
        for (int c = 0; c < 2; c++)
            assert_true(fabsf(cnn_f32(y)[(i * (int)y->shape[2]) * 2 + c] - sums[i + before][c]) < 1e-5f);
    for (int i = 0; i < 4; i++) cnn_tensor_release(((cnn_tensor *[]){x, w, b, y})[i]);
}

static void check_transposes(void) {
    check_transpose(1, "valid", 6, 0);
    check_transpose(2, "valid", 9, 0);
    check_transpose(1, "same", 4, 1);
    check_transpose(2, "same", 8, 0);
}

static void transposed_convolution_spreads_each_cell(void **state) {
    (void)state;
    for_each_cpu(check_transposes);
}

/* ---- values -------------------------------------------------------------------------------------------- */

static cnn_tensor *apply1(const char *op, const char *attributes, cnn_tensor *x) {
    cnn_tensor *y = apply(op, attributes, &x, 1);
    cnn_tensor_release(x);
    return y;
}

static void small_ops_have_their_values(void **state) {
    (void)state;
    EXPECT(apply1("clip", "{\"low\": -1, \"high\": 2}", TENSOR(CNN_FLOAT32, SHAPE(4), -3, 0.5, 9, NAN)),
           CNN_FLOAT32, SHAPE(4), -1, 0.5, 2, NAN);
    EXPECT(apply1("bounded_relu", "{\"max_value\": 6, \"negative_slope\": 0.5, \"threshold\": 1}",
                  TENSOR(CNN_FLOAT32, SHAPE(5), -3, 0.5, 1, 5, 9)),
           CNN_FLOAT32, SHAPE(5), -2, -0.25, 1, 5, 6);
    EXPECT(apply1("max", "{\"axis\": 1}", TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 4, 3, -2)), CNN_FLOAT32,
           SHAPE(2), 4, 3);
    EXPECT(apply1("min", "", TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 4, 3, -2)), CNN_FLOAT32, SCALAR, -2);
    EXPECT(apply1("slice", "{\"from\": [0, 1], \"to\": [2, -1], \"step\": [1, 2]}",
                  TENSOR(CNN_INT32, SHAPE(3, 4), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
           CNN_INT32, SHAPE(2, 2), 1, 3, 5, 7);
    EXPECT(
        apply1("pad", "{\"before\": [1], \"after\": [2], \"value\": 7}", TENSOR(CNN_FLOAT32, SHAPE(2), 1, 2)),
        CNN_FLOAT32, SHAPE(5), 7, 1, 2, 7, 7);
    EXPECT(apply1("upsample2d", "{\"size\": [1, 2], \"interpolation\": \"bilinear\"}",
                  TENSOR(CNN_FLOAT32, SHAPE(1, 1, 3, 1), 0, 4, 8)),
           CNN_FLOAT32, SHAPE(1, 1, 6, 1), 0, 1, 3, 5, 7, 8);
}

/* Ties share the gradient of a maximum. */
static void equals_share_the_gradient(void **state) {
    (void)state;
    cnn_tensor *x = TENSOR(CNN_FLOAT32, SHAPE(2, 3), 5, 1, 5, 2, 2, 2);
    op_run r;
    run_open_with(&r, "max", "{\"axis\": 1}", &x, 1);
    cnn_f32(r.grad_output)[0] = 1;
    cnn_f32(r.grad_output)[1] = 3;
    OK(run_forward(&r));
    OK(run_backward(&r));
    EXPECT(cnn_tensor_retain(r.grads[0]), CNN_FLOAT32, SHAPE(2, 3), 0.5, 0, 0.5, 1, 1, 1);
    run_close(&r);
}

/* Whole channels go, by their place in the batch; the noise has the moments asked for. */
static void noises_are_as_asked_for(void **state) {
    (void)state;
    op_case spatial = {"spatial_dropout", "{\"rate\": 0.5, \"seed\": 1}", {"+40,3,3,10"}},
            gaussian = {"gaussian_noise", "{\"stddev\": 2, \"seed\": 1}", {"40,500"}};
    op_run r;
    run_open(&r, &spatial);
    OK(run_forward(&r));
    int kept = 0;
    for (int n = 0; n < 40; n++)
        for (int c = 0; c < 10; c++) {
            bool first = cnn_f32(r.output)[n * 90 + c] != 0;
            kept += first;
            for (int cell = 0; cell < 9; cell++) {
                int at = n * 90 + cell * 10 + c;
                assert_true(cnn_f32(r.output)[at] == (first ? 2 * cnn_f32(r.inputs[0])[at] : 0));
            }
        }
    assert_true(kept > 160 && kept < 240);
    run_close(&r);
    run_open(&r, &gaussian);
    OK(run_forward(&r));
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < r.output->size; i++) {
        double d = (double)cnn_f32(r.output)[i] - (double)cnn_f32(r.inputs[0])[i];
        sum += d;
        squares += d * d;
    }
    assert_true(fabs(sum / 20000) < 0.06);
    assert_true(fabs(sqrt(squares / 20000) - 2) < 0.05);
    run_close(&r);
}

/* ---- errors -------------------------------------------------------------------------------------------- */

static void refuse(const char *op, const char *attributes, const char *const *texts, cnn_status status,
                   const char *message) {
    cnn_tensor *inputs[MOST_INPUTS] = {0}, *y = NULL;
    int n = 0;
    for (; texts[n]; n++) inputs[n] = make(texts[n]);
    assert_fails(cnn_apply(&y, op, attributes, inputs, n), status, message);
    for (int i = 0; i < n; i++) cnn_tensor_release(inputs[i]);
}

static void errors_say_what_came(void **state) {
    (void)state;
#define IN(...) ((const char *[]){__VA_ARGS__, NULL})
    refuse("conv1d", "", IN("2,3", "3,2,4"), CNN_ERROR_SHAPE,
           "conv1d: expected an input [N,L,C] and weights [size,C/groups,filters], got shapes (2, 3) and (3, "
           "2, 4)");
    refuse("conv1d", "", IN("2,3,2", "5,2,4"), CNN_ERROR_SHAPE,
           "window does not fit an input of shape (2, 3, 2)");
    refuse("depthwise_conv2d", "", IN("2,5,5,3", "3,3,2,1"), CNN_ERROR_SHAPE,
           "got shapes (2, 5, 5, 3) and (3, 3, 2, 1)");
    refuse("depthwise_conv2d", "", IN("2,5,5,3", "3,3,3,2", "3"), CNN_ERROR_SHAPE,
           "expected a bias (6,), got shape (3,)");
    refuse("conv2d_transpose", "", IN("2,5,5,3", "3,3,3,2"), CNN_ERROR_SHAPE,
           "got shapes (2, 5, 5, 3) and (3, 3, 3, 2)");
    refuse("conv2d_transpose", "{\"output_padding\": 1}", IN("2,5,5,3", "3,3,2,3"), CNN_ERROR_ARGUMENT,
           "output_padding = 1 must be below strides = 1");
    refuse("batch_normalization", "", IN("2,5", "4", "5", "5", "5", "o1"), CNN_ERROR_SHAPE,
           "expected gamma (5,), got float32 of shape (4,)");
    refuse("batch_normalization", "", IN("5", "5", "5", "5", "5", "o1"), CNN_ERROR_SHAPE, "got shape (5,)");
    refuse("batch_normalization", "", IN("2,5", "5", "5", "5", "5", "o2"), CNN_ERROR_ARGUMENT,
           "must be one int32");
    refuse("layer_normalization", "", IN("2,5", "4", "5"), CNN_ERROR_SHAPE,
           "gamma of shape (4,) does not fit the last 1 axes of shape (2, 5)");
    refuse("prelu", "", IN("2,5,3", "5,2"), CNN_ERROR_SHAPE, "alpha of shape (5, 2) does not fit");
    refuse("upsample2d", "", IN("2,5,3"), CNN_ERROR_SHAPE,
           "upsample2d: expected an input [N,H,W,C], got shape (2, 5, 3)");
    refuse("slice", "{\"from\": [0, 9]}", IN("2,5"), CNN_ERROR_ARGUMENT,
           "is not within axis 1 of shape (2, 5)");
    refuse("slice", "{\"from\": [0]}", IN("2,5"), CNN_ERROR_ARGUMENT, "'from' has 1 numbers for the 2 axes");
    refuse("gather", "", IN("1,5", "o3"), CNN_ERROR_ARGUMENT,
           "gather: index 1 (number 1) is outside axis 0 of size 1");
    refuse("gather", "", IN("1,5", "u2:3"), CNN_ERROR_DTYPE, "expected int32 indices, got uint8");
    refuse("stack", "", IN("2,5", "2,4"), CNN_ERROR_SHAPE, "got (2, 5) and (2, 4) (input 2)");
    refuse("max", "{\"axis\": 1}", IN("2,0"), CNN_ERROR_SHAPE,
           "nothing to choose from along axis 1 of shape (2, 0)");
    refuse("where", "", IN("o3", "2", "2"), CNN_ERROR_SHAPE, "where");
}

static void empty_batches_are_fine(void **state) {
    (void)state;
    static const op_case empty[] = {
        {"!batch_normalization", NULL, {"0,3", "3", "3", "3", "3", "i1:1"}},
        {"batch_normalization", NULL, {"0,3", "3", "3", "3", "3", "i1:1"}},
        {"layer_normalization", NULL, {"0,3", "3", "3"}},
        {"conv1d", NULL, {"0,4,2", "3,2,2"}},
        {"depthwise_conv2d", NULL, {"0,4,4,2", "3,3,2,1"}},
        {"conv2d_transpose", NULL, {"0,4,4,2", "3,3,3,2"}},
        {"upsample2d", NULL, {"0,4,4,2"}},
        {"prelu", NULL, {"0,3", "3"}},
        {"gather", "{\"axis\": 1}", {"0,3", "i3:2"}},
        {"slice", "{\"to\": [0, 2]}", {"3,3"}},
        {"max", "{\"axis\": 1}", {"0,3"}},
        {"where", NULL, {"i2:0,3", "0,3", "3"}},
        {"spatial_dropout", "{\"rate\": 0.5}", {"0,2,3"}},
        {"gaussian_noise", "{\"stddev\": 0.5}", {"0,3"}},
        {"pad", "{\"before\": [0, 1], \"after\": [0, 0]}", {"0,3"}},
        {"stack", "{\"axis\": 1}", {"0,3", "0,3"}},
    };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        op_run r;
        run_open(&r, &empty[i]);
        OK(run_forward(&r));
        OK(run_backward(&r));
        run_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_normalization_agrees_in_training_and_inference),
        cmocka_unit_test(variance_survives_a_mean_far_from_zero),
        cmocka_unit_test(moments_are_right_for_any_number_of_channels),
        cmocka_unit_test(moving_statistics_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(convolutions_in_another_guise_are_the_2d_one),
        cmocka_unit_test(causal_padding_does_not_look_ahead),
        cmocka_unit_test(transposed_convolution_spreads_each_cell),
        cmocka_unit_test(small_ops_have_their_values),
        cmocka_unit_test(equals_share_the_gradient),
        cmocka_unit_test(noises_are_as_asked_for),
        cmocka_unit_test(errors_say_what_came),
        cmocka_unit_test(empty_batches_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
