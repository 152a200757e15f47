/* Every op: gradients against finite differences, the same bits for any number of threads, on every
 * instruction set of the machine; eager and symbolic application; what errors say; exhausted memory. */
#include "op_case.h"

#include "base/parallel.h"
#include "base/random.h"

#include <limits.h>

static const op_case cases[] = {
    {"conv2d", NULL, {"1,1,1,1", "1,1,1,1", "1"}},
    {"conv2d", NULL, {"2,7,6,5", "3,3,5,17", "17"}},
    {"conv2d", "{\"padding\": \"same\"}", {"5,6,5,3", "3,2,3,4"}},
    {"conv2d", "{\"strides\": [3, 2], \"padding\": \"same\"}", {"1,8,7,2", "2,2,2,5", "5"}},
    {"conv2d", "{\"strides\": 4}", {"2,9,9,1", "2,3,1,3", "3"}},
    {"conv2d", "{\"dilation_rate\": 2}", {"2,7,8,3", "3,3,3,2", "2"}},
    {"conv2d", "{\"groups\": 2, \"padding\": \"same\"}", {"2,5,5,4", "3,3,2,6", "6"}},
    {"conv2d", "{\"groups\": 5}", {"2,5,5,5", "3,3,1,5", "5"}},
    {"conv1d", NULL, {"2,9,3", "4,3,5", "5"}},
    {"conv1d", "{\"padding\": \"causal\", \"dilation_rate\": 2}", {"5,7,2", "3,2,17", "17"}},
    {"conv1d", "{\"padding\": \"same\", \"strides\": 2, \"groups\": 2}", {"5,8,4", "3,2,6"}},
    {"depthwise_conv2d", NULL, {"2,5,6,17", "3,3,17,1", "17"}},
    {"depthwise_conv2d", "{\"padding\": \"same\", \"strides\": 2}", {"5,7,6,3", "3,2,3,2", "6"}},
    {"depthwise_conv2d", "{\"dilation_rate\": 2}", {"2,7,8,5", "3,3,5,3"}},
    {"conv2d_transpose", NULL, {"2,3,4,5", "3,3,17,5", "17"}},
    {"conv2d_transpose", "{\"strides\": [2, 3], \"padding\": \"same\"}", {"5,3,4,2", "3,4,3,2", "3"}},
    {"conv2d_transpose", "{\"strides\": 3}", {"2,3,2,4", "2,2,3,4"}},
    {"conv2d_transpose",
     "{\"strides\": 2, \"output_padding\": 1, \"padding\": \"same\"}",
     {"2,3,4,1", "3,3,5,1"}},
    {"conv2d_transpose", "{\"dilation_rate\": 2}", {"2,3,4,3", "2,3,2,3", "2"}},
    {"!batch_normalization", NULL, {"5,3,2,5", "+5", "5", "5", "+5", "i1:1"}},
    {"!batch_normalization", NULL, {"23,17", "+17", "17", "17", "+17", "i1:1"}},
    {"!batch_normalization", NULL, {"3,9,7,70", "+70", "70", "70", "+70", "i1:1"}},
    {"!batch_normalization", NULL, {"5,3,2,5", "+5", "5", "5", "+5", "o1"}},
    {"batch_normalization", NULL, {"5,3,2,5", "+5", "5", "5", "+5", "i1:1"}},
    {"layer_normalization", NULL, {"5,3,17", "+17", "17"}},
    {"layer_normalization", "{\"axes\": 2}", {"5,3,7", "+3,7", "3,7"}},
    {"upsample2d", NULL, {"5,3,2,5"}},
    {"upsample2d", "{\"size\": [3, 2], \"interpolation\": \"bilinear\"}", {"5,3,2,5"}},
    {"resize", "{\"height\": 3, \"width\": 5}", {"5,4,3,2"}},
    {"resize", "{\"height\": 5, \"width\": 2, \"interpolation\": \"bicubic\"}", {"2,3,7,3"}},
    {"resize",
     "{\"height\": 3, \"width\": 2, \"interpolation\": \"area\", \"crop\": \"aspect\"}",
     {"2,7,8,1"}},
    {"resize", "{\"height\": 4, \"width\": 6, \"interpolation\": \"nearest\"}", {"2,3,7,17"}},
    {"resize", "{\"height\": 2, \"width\": 3, \"crop\": \"center\"}", {"5,5,4,2"}},
    {"resize", "{\"height\": 3, \"width\": 6, \"crop\": \"center\"}", {"2,5,4,2"}},
    {"random_crop", "{\"height\": 3, \"width\": 2, \"seed\": 3}", {"5,5,4,3"}},
    {"random_crop", "{\"height\": 3, \"width\": 7}", {"2,5,4,1"}},
    {"random_flip", "{\"seed\": 3}", {"9,3,4,3"}},
    {"random_flip", "{\"vertical\": false}", {"9,2,5,2"}},
    {"random_warp", "{\"kind\": \"rotation\", \"height_low\": -0.3, \"height_high\": 0.4}", {"5,6,5,3"}},
    {"random_warp",
     "{\"kind\": \"rotation\", \"height_high\": 1, \"fill_mode\": \"constant\", \"fill_value\": 0.5}",
     {"5,4,7,1"}},
    {"random_warp",
     "{\"kind\": \"zoom\", \"height_low\": -0.5, \"height_high\": 0.5, \"keep_aspect\": true}",
     {"5,6,5,4"}},
    {"random_warp",
     "{\"kind\": \"zoom\", \"height_low\": -1, \"width_high\": 0.9, \"fill_mode\": \"wrap\"}",
     {"5,6,5,2"}},
    {"random_warp",
     "{\"kind\": \"translation\", \"height_high\": 1, \"width_low\": -1, \"fill_mode\": \"nearest\"}",
     {"5,6,5,3"}},
    {"random_warp",
     "{\"kind\": \"shear\", \"height_high\": 0.4, \"width_high\": 0.5, \"interpolation\": \"nearest\"}",
     {"5,6,5,3"}},
    {"random_contrast", "{\"low\": 0.2, \"high\": 1.7, \"darkest\": -9, \"brightest\": 9}", {"5,4,3,3"}},
    {"random_brightness", "{\"low\": -0.5, \"high\": 0.5, \"darkest\": -9, \"brightest\": 9}", {"5,4,3,2"}},
    {"random_brightness", "{\"low\": 0, \"high\": 0, \"darkest\": 0, \"brightest\": 9}", {"5,4,3,2"}},
    {"bounded_relu", "{\"max_value\": 0.54, \"negative_slope\": 0.3, \"threshold\": 0.06}", {"~5,7"}},
    {"prelu", NULL, {"5,3,2,4", "1,1,4"}},
    {"prelu", NULL, {"5,17", "17"}},
    {"spatial_dropout", "{\"rate\": 0.4, \"seed\": 3}", {"5,2,3,17"}},
    {"gaussian_noise", "{\"stddev\": 0.5, \"seed\": 3}", {"9,31"}},
    {"gaussian_dropout", "{\"stddev\": 0.5, \"seed\": 3}", {"9,31"}},
    {"clip", "{\"low\": -0.3, \"high\": 0.45}", {"~5,17"}},
    {"clip", NULL, {"5,3"}},
    {"where", NULL, {"i2:5,3", "5,3", "5,3"}},
    {"where", NULL, {"i2:5,1", "4", ""}},
    {"max", NULL, {"~3,4,5"}},
    {"max", "{\"axis\": [0, -1]}", {"~3,4,5"}},
    {"max", "{\"axis\": 1, \"keepdims\": true}", {"~5,4,3"}},
    {"min", "{\"axis\": -1}", {"~5,17"}},
    {"slice", NULL, {"3,4"}},
    {"slice", "{\"from\": [0, 1, 2], \"to\": [-1, 3, -1], \"step\": [1, 1, 2]}", {"5,4,7"}},
    {"slice", "{\"from\": [1, 0], \"to\": [5, 3], \"step\": [2, 1]}", {"5,3"}},
    {"gather", NULL, {"7,3", "i7:11"}},
    {"gather", "{\"axis\": -2}", {"3,5,2", "i5:2,4"}},
    {"pad", "{\"before\": [0, 1, 0], \"after\": [0, 0, 2], \"value\": 3}", {"5,2,3"}},
    {"pad", "{\"before\": [2], \"after\": [1]}", {"5"}},
    {"stack", NULL, {"5,3", "5,3", "5,3"}},
    {"stack", "{\"axis\": -1}", {"5,3", "5,3"}},
    {"dense", NULL, {"1,1", "1,1", "1"}},
    {"dense", NULL, {"5,17", "17,10", "10"}},
    {"dense", NULL, {"33,40", "40,3"}},
    {"dense", NULL, {"2,3,5", "5,17", "17"}},
    {"bias_add", NULL, {"5,17", "17"}},
    {"bias_add", NULL, {"9,3,2,5", "5"}},
    {"relu", NULL, {"5,17"}},
    {"relu", NULL, {""}},
    {"leaky_relu", NULL, {"5,3,17"}},
    {"leaky_relu", "{\"negative_slope\": 0}", {"3"}},
    {"elu", "{\"alpha\": 0.7}", {"5,17"}},
    {"selu", NULL, {"5,17"}},
    {"sigmoid", NULL, {"5,17"}},
    {"tanh", NULL, {"5,17"}},
    {"relu6", NULL, {"5,17"}},
    {"hard_sigmoid", NULL, {"5,17"}},
    {"softsign", NULL, {"5,17"}},
    {"softplus", NULL, {"5,17"}},
    {"gelu", NULL, {"5,17"}},
    {"gelu", "{\"approximate\": true}", {"5,17"}},
    {"silu", NULL, {"5,17"}},
    {"exp", NULL, {"5,17"}},
    {"sin", NULL, {"5,17"}},
    {"cos", NULL, {"5,17"}},
    {"log1p", NULL, {"+5,17"}},
    {"log", NULL, {"+5,17"}},
    {"sqrt", NULL, {"+5,17"}},
    {"square", NULL, {"5,17"}},
    {"abs", NULL, {"5,17"}},
    {"neg", NULL, {"5,17"}},
    {"softmax", NULL, {"5,10"}},
    {"softmax", NULL, {"2,3,17"}},
    {"softmax", "{\"axis\": 1}", {"3,4,5"}},
    {"softmax", "{\"axis\": 0}", {"3,4,5"}},
    {"softmax", NULL, {"7"}},
    {"log_softmax", NULL, {"5,17"}},
    {"log_softmax", "{\"axis\": -2}", {"3,4,5"}},
    {"max_pool2d", "{\"pool_size\": 1}", {"~1,1,1,1"}},
    {"max_pool2d", NULL, {"~5,6,7,5"}},
    {"max_pool2d", "{\"pool_size\": 3, \"strides\": 2}", {"~2,8,9,17"}},
    {"max_pool2d", "{\"pool_size\": [3, 2], \"strides\": 1, \"padding\": \"same\"}", {"~1,5,4,3"}},
    {"max_pool2d", "{\"pool_size\": 2, \"strides\": 5}", {"~2,13,8,1"}},
    {"max_pool2d", "{\"pool_size\": [15, 18], \"padding\": \"same\"}", {"~2,16,20,2"}},
    {"avg_pool2d", NULL, {"5,6,7,5"}},
    {"avg_pool2d", "{\"pool_size\": 3, \"strides\": 2, \"padding\": \"same\"}", {"2,8,9,17"}},
    {"avg_pool2d", "{\"pool_size\": 2, \"strides\": 3}", {"2,8,8,1"}},
    {"global_avg_pool2d", NULL, {"5,6,7,5"}},
    {"global_avg_pool2d", "{\"keepdims\": true}", {"2,1,3,17"}},
    {"global_max_pool2d", NULL, {"~5,6,7,5"}},
    {"global_max_pool2d", "{\"keepdims\": true}", {"~2,17,16,3"}},
    {"dropout", "{\"rate\": 0.4, \"seed\": 3}", {"9,31"}},
    {"dropout", "{\"rate\": 0}", {"3,5"}},
    {"dropout", "{\"rate\": 1}", {"3,5"}},
    {"rescaling", "{\"scale\": 0.25, \"offset\": -1}", {"5,17"}},
    {"cast", NULL, {"5,17"}},
    {"identity", NULL, {"5,17"}},
    {"reshape", "{\"target_shape\": [3, -1]}", {"2,4,6"}},
    {"reshape", "{\"target_shape\": [-1, 2], \"keep_batch\": false}", {"3,4"}},
    {"flatten", NULL, {"3,2,5"}},
    {"transpose", NULL, {"2,3,5"}},
    {"transpose", "{\"axes\": [0, 3, 1, 2]}", {"5,3,4,2"}},
    {"concatenate", NULL, {"5,3", "5,4", "5,1"}},
    {"concatenate", "{\"axis\": 0}", {"2,3", "1,3"}},
    {"concatenate", "{\"axis\": 1}", {"3,2,5", "3,4,5"}},
    {"zero_pad2d", "{\"top\": 1, \"left\": 2, \"right\": 3}", {"5,3,2,5"}},
    {"add", NULL, {"5,3", "5,3"}},
    {"add", NULL, {"5,1,4", "5,3,1"}},
    {"add", NULL, {"2,3,4", "4"}},
    {"subtract", NULL, {"5,3", "3"}},
    {"subtract", NULL, {"", "5,3"}},
    {"multiply", NULL, {"5,3,4", "5,1,1"}},
    {"multiply", NULL, {"3,1", "1,4"}},
    {"divide", NULL, {"5,3", "+5,3"}},
    {"divide", NULL, {"3", "+5,1"}},
    {"maximum", NULL, {"~5,17", "g5,1"}},
    {"minimum", NULL, {"~5,17", "g17"}},
    {"pow", NULL, {"+5,17", "5,17"}},
    {"pow", NULL, {"+5,1", "17"}},
    {"average", NULL, {"5,3", "5,3", "5,3"}},
    {"matmul", NULL, {"3,17", "17,5"}},
    {"sum", NULL, {"3,4,5"}},
    {"sum", "{\"axis\": [-1, 1]}", {"5,4,3"}},
    {"sum", "{\"axis\": 0, \"keepdims\": true}", {"3,4,5"}},
    {"mean", NULL, {"7"}},
    {"mean", "{\"axis\": [1, 2], \"keepdims\": true}", {"5,4,3,2"}},
    {"mean", "{\"axis\": [0, 2]}", {"3,4,5"}},
    {"categorical_crossentropy", NULL, {"p5,10", "p5,10"}},
    {"categorical_crossentropy", "{\"label_smoothing\": 0.1}", {"p3,2,17", "u2:3,2,17"}},
    {"categorical_crossentropy", "{\"from_logits\": true}", {"5,17", "p5,17"}},
    {"sparse_categorical_crossentropy", NULL, {"p9,10", "i10:9"}},
    {"sparse_categorical_crossentropy", "{\"from_logits\": true}", {"9,17", "u17:9,1"}},
    {"sparse_categorical_crossentropy", "{\"from_logits\": true}", {"5,2,3,4", "f4:5,2,3"}},
    {"binary_crossentropy", NULL, {"p9,1", "i2:9"}},
    {"binary_crossentropy", "{\"label_smoothing\": 0.2}", {"p9,17", "p9,17"}},
    {"binary_crossentropy", "{\"from_logits\": true}", {"9,1", "u2:9,1"}},
    {"mean_squared_error", NULL, {"9,17", "9,17"}},
    {"mse", NULL, {"2,3,5,170", "u5:2,3,5,170"}},
    {"mean_absolute_error", NULL, {"~9,17", "g9,17"}},
    {"huber", "{\"delta\": 0.78}", {"~9,17", "g9,17"}},
};
enum { CASE_COUNT = sizeof cases / sizeof *cases };

static void for_each_cpu_and_case(void (*check)(const op_case *c)) {
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int i = 0; i < count; i++) {
        OK(cnn_set_cpu(cpus[i]));
        for (int k = 0; k < CASE_COUNT; k++) check(&cases[k]);
    }
}

static void show(const op_case *c) {
    print_error("%s %s on", c->op, c->attributes ? c->attributes : "");
    for (int i = 0; i < MOST_INPUTS && c->inputs[i]; i++) print_error(" [%s]", c->inputs[i]);
    print_error(" (%s)\n", cnn_cpu());
}

/* ---- gradients ----------------------------------------------------------------------------------------- */

/* Σ r·y in double, with r the gradient of the output that backward was given. */
static double weighted_output(op_run *r) {
    OK(run_forward(r));
    double sum = 0;
    for (int64_t i = 0; i < r->output->size; i++)
        sum += (double)cnn_f32(r->grad_output)[i] * cnn_tensor_get(r->output, i);
    return sum;
}

/* Central differences. The step is large, so that rounding in y (about 1e-7, divided by the step) stays below
 * 1e-4; the ops are smooth or piecewise linear on the inputs chosen, so that the step's own error, a sixth of
 * its square times the third derivative, does too. Kinks lie farther away than a step. */
static double difference(op_run *r, int input, int64_t at) {
    const float step = 0.01f;
    float *x = cnn_f32(r->inputs[input]) + at, kept = *x;
    *x = kept + step;
    double high = *x, above = weighted_output(r);
    *x = kept - step;
    double low = *x, below = weighted_output(r);
    *x = kept;
    return (above - below) / (high - low);
}

static void check_gradient(const op_case *c) {
    enum { SAMPLES = 24 };
    const double tolerance = 2e-3;
    op_run r;
    run_open(&r, c);
    OK(run_forward(&r));
    OK(run_backward(&r));
    for (int i = 0; i < r.n_inputs; i++) {
        if (!r.grads[i]) continue;
        double largest = 1;
        for (int64_t k = 0; k < r.grads[i]->size; k++) largest = fmax(largest, fabs(cnn_f32(r.grads[i])[k]));
        int64_t stride = r.grads[i]->size > SAMPLES ? r.grads[i]->size / SAMPLES : 1;
        for (int64_t at = 0; at < r.grads[i]->size; at += stride) {
            double want = difference(&r, i, at), got = cnn_f32(r.grads[i])[at];
            if (fabs(got - want) <= tolerance * largest) continue;
            show(c);
            print_error("input %d, element %d: gradient %g, difference quotient %g\n", i, (int)at, got, want);
            fail();
        }
    }
    run_close(&r);
}

static void gradients_are_those_of_finite_differences(void **state) {
    (void)state;
    int threads = cnn_threads();
    OK(cnn_set_threads(1)); /* thousands of tiny passes */
    for_each_cpu_and_case(check_gradient);
    OK(cnn_set_threads(threads));
}

/* ---- threads ------------------------------------------------------------------------------------------- */

static bool same_bits(const cnn_tensor *a, const cnn_tensor *b) {
    return memcmp(a->data, b->data, cnn_tensor_bytes(a)) == 0;
}

static void check_threads(const op_case *c) {
    op_run one, three;
    run_open(&one, c);
    run_open(&three, c);
    OK(cnn_set_threads(1));
    OK(run_forward(&one));
    OK(run_backward(&one));
    OK(cnn_set_threads(3));
    OK(run_forward(&three));
    OK(run_backward(&three));
    bool same = same_bits(one.output, three.output);
    for (int i = 0; i < one.n_inputs; i++)
        if (one.grads[i]) same = same && same_bits(one.grads[i], three.grads[i]);
    if (!same) show(c);
    assert_true(same);
    run_close(&one);
    run_close(&three);
}

static void results_do_not_depend_on_the_number_of_threads(void **state) {
    (void)state;
    int threads = cnn_threads();
    for_each_cpu_and_case(check_threads);
    OK(cnn_set_threads(threads));
}

/* A large case of each way to share work. */
static void large_results_do_not_depend_on_the_number_of_threads(void **state) {
    (void)state;
    static const op_case large[] = {
        {"dense", "{\"relu\": true}", {"500,300", "300,257", "257"}},
        {"conv2d", "{\"relu\": true, \"pool\": 2}", {"37,16,16,3", "3,3,3,20", "20"}},
        {"multiply", NULL, {"90,40,50", "90,1,50"}},
        {"maximum", NULL, {"90,40,50", "90,40,50"}},
        {"mean", "{\"axis\": [0, 1]}", {"90,40,50"}},
        {"dropout", "{\"rate\": 0.3}", {"61,4099"}},
        {"bias_add", NULL, {"64,30,30,17", "17"}},
        {"!batch_normalization", NULL, {"64,31,29,17", "+17", "17", "17", "+17", "i1:1"}},
        {"!batch_normalization", NULL, {"70,9,11,130", "+130", "130", "130", "+130", "i1:1"}},
        {"layer_normalization", NULL, {"64,31,65", "+65", "65"}},
    };
    int threads = cnn_threads();
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) check_threads(&large[i]);
    OK(cnn_set_threads(threads));
}

/* ---- fused forms --------------------------------------------------------------------------------------- */

static void assert_near(const cnn_tensor *a, const cnn_tensor *b) {
    assert_int_equal(a->size, b->size);
    for (int64_t i = 0; i < a->size; i++)
        if (fabsf(cnn_f32(a)[i] - cnn_f32(b)[i]) > 1e-5f * (1 + fabsf(cnn_f32(b)[i]))) {
            print_error("element %d: %g, not %g\n", (int)i, cnn_f32(a)[i], cnn_f32(b)[i]);
            fail();
        }
}

/* The next op of a chain takes the last one's output; its gradient goes back into the last one's. */
static void run_open_after(op_run *r, const op_run *before, const char *op, const char *attributes) {
    cnn_tensor *x = cnn_tensor_retain(before->output);
    run_open_with(r, op, attributes, &x, 1);
    OK(run_forward(r));
}

static void pass_back(op_run *r, op_run *before) {
    OK(run_backward(r));
    memcpy(before->grad_output->data, r->grads[0]->data, cnn_tensor_bytes(r->grads[0]));
}

static void check_fused(const char *op, const char *fused_attributes, const char *attributes,
                        const char *pool, const char *const *inputs) {
    op_case fused_case = {op, fused_attributes, {inputs[0], inputs[1], inputs[2]}};
    op_case plain_case = {op, attributes, {inputs[0], inputs[1], inputs[2]}};
    op_run fused, plain, relu, pooled;
    run_open(&fused, &fused_case);
    OK(run_forward(&fused));
    OK(run_backward(&fused));
    run_open(&plain, &plain_case);
    OK(run_forward(&plain));
    run_open_after(&relu, &plain, "relu", NULL);
    if (pool) {
        run_open_after(&pooled, &relu, "max_pool2d", pool);
        assert_near(fused.output, pooled.output);
        pass_back(&pooled, &relu);
        run_close(&pooled);
    } else {
        assert_near(fused.output, relu.output);
    }
    pass_back(&relu, &plain);
    OK(run_backward(&plain));
    for (int i = 0; i < 3; i++)
        if (inputs[i]) assert_near(fused.grads[i], plain.grads[i]);
    run_close(&relu);
    run_close(&plain);
    run_close(&fused);
}

static void fused_ops_are_their_parts_one_after_the_other(void **state) {
    (void)state;
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int i = 0; i < count; i++) {
        OK(cnn_set_cpu(cpus[i]));
        check_fused("dense", "{\"relu\": true}", NULL, NULL, (const char *[]){"5,17", "17,10", "10"});
        check_fused("dense", "{\"relu\": true}", NULL, NULL, (const char *[]){"1100,5", "5,3", NULL});
        check_fused("conv2d", "{\"relu\": true}", NULL, NULL, (const char *[]){"5,7,6,5", "3,3,5,17", "17"});
        check_fused("conv2d", "{\"relu\": true, \"pool\": 2}", NULL, "{\"pool_size\": 2}",
                    (const char *[]){"5,8,9,3", "3,3,3,17", "17"});
        check_fused("conv2d", "{\"relu\": true, \"pool\": [3, 2], \"padding\": \"same\"}",
                    "{\"padding\": \"same\"}", "{\"pool_size\": [3, 2]}",
                    (const char *[]){"2,7,7,1", "3,3,1,5", NULL});
    }
}

/* ---- values -------------------------------------------------------------------------------------------- */

static cnn_tensor *apply(const char *op, const char *attributes, cnn_tensor *x) {
    cnn_tensor *y = NULL;
    OK(cnn_apply(&y, op, attributes, &x, 1));
    cnn_tensor_release(x);
    return y;
}

static void activations_have_their_values_at_the_edges(void **state) {
    (void)state;
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int i = 0; i < count; i++) {
        OK(cnn_set_cpu(cpus[i]));
#define EDGES TENSOR(CNN_FLOAT32, SHAPE(7), -INFINITY, -1000, -0.5, 0, 1000, INFINITY, NAN)
        EXPECT(apply("relu", "", EDGES), CNN_FLOAT32, SHAPE(7), 0, 0, 0, 0, 1000, INFINITY, NAN);
        EXPECT(apply("leaky_relu", "", EDGES), CNN_FLOAT32, SHAPE(7), -INFINITY, -200, -0.1, 0, 1000,
               INFINITY, NAN);
        EXPECT(apply("sigmoid", "", EDGES), CNN_FLOAT32, SHAPE(7), 0, 0, 0.37754067, 0.5, 1, 1, NAN);
        EXPECT(apply("tanh", "", EDGES), CNN_FLOAT32, SHAPE(7), -1, -1, -0.46211716, 0, 1, 1, NAN);
        EXPECT(apply("exp", "", EDGES), CNN_FLOAT32, SHAPE(7), 0, 0, 0.60653066, 1, INFINITY, INFINITY, NAN);
        EXPECT(apply("elu", "", EDGES), CNN_FLOAT32, SHAPE(7), -1, -1, -0.39346934, 0, 1000, INFINITY, NAN);
        EXPECT(apply("softplus", "", EDGES), CNN_FLOAT32, SHAPE(7), 0, 0, 0.47407698, 0.69314718, 1000,
               INFINITY, NAN);
        EXPECT(apply("log", "", TENSOR(CNN_FLOAT32, SHAPE(6), 0, -1, 1, 1e-40, INFINITY, NAN)), CNN_FLOAT32,
               SHAPE(6), -INFINITY, NAN, 0, -92.1034, INFINITY, NAN);
        EXPECT(apply("softmax", "", TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1000, 1000, -1e30, 0)), CNN_FLOAT32,
               SHAPE(2, 2), 0.5, 0.5, 0, 1);
        EXPECT(apply("log_softmax", "", TENSOR(CNN_FLOAT32, SHAPE(2), 1000, 0)), CNN_FLOAT32, SHAPE(2), 0,
               -1000);
        EXPECT(apply("softmax", "", TENSOR(CNN_FLOAT32, SHAPE(2), NAN, 0)), CNN_FLOAT32, SHAPE(2), NAN, NAN);
    }
}

/* Against libm in double, densely over the range where results are normal numbers. */
static void check_accuracy(const char *op, double (*exact)(double), double low, double high, double ulps) {
    enum { POINTS = 40001 };
    cnn_tensor *x = NULL, *y = NULL;
    OK(cnn_tensor_new(&x, CNN_FLOAT32, 1, I64(POINTS)));
    for (int i = 0; i < POINTS; i++) cnn_f32(x)[i] = (float)(low + (high - low) * i / (POINTS - 1));
    OK(cnn_apply(&y, op, "", &x, 1));
    for (int i = 0; i < POINTS; i++) {
        double want = exact(cnn_f32(x)[i]), error = fabs(cnn_f32(y)[i] - want);
        double ulp = nextafterf(fabsf((float)want), INFINITY) - fabsf((float)want);
        if (error > ulps * ulp) {
            print_error("%s(%.9g) is %.9g, not %.9g: %g ulp (%s)\n", op, cnn_f32(x)[i], cnn_f32(y)[i], want,
                        error / ulp, cnn_cpu());
            fail();
        }
    }
    cnn_tensor_release(x);
    cnn_tensor_release(y);
}

static double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double exact_softplus(double x) {
    return log1p(exp(x));
}

static double exact_elu(double x) {
    return x > 0 ? x : expm1(x);
}

static void functions_are_accurate(void **state) {
    (void)state;
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int i = 0; i < count; i++) {
        OK(cnn_set_cpu(cpus[i]));
        check_accuracy("exp", exp, -87, 88.72, 2);
        check_accuracy("exp", exp, -1, 1, 2);
        check_accuracy("log", log, 1e-3, 10, 2);
        check_accuracy("log", log, 1, 1e30, 2);
        check_accuracy("tanh", tanh, -10, 10, 4);
        check_accuracy("sigmoid", exact_sigmoid, -80, 80, 4);
        check_accuracy("softplus", exact_softplus, -80, 80, 4);
        check_accuracy("elu", exact_elu, -20, 1, 4);
    }
}

/* Each row of the batch must be dropped as it is in the whole batch, wherever the batch is cut. */
static void dropout_goes_by_place_in_the_batch(void **state) {
    (void)state;
    enum { ROWS = 7, ROW = 150 };
    const cnn_op *op;
    OK(cnn_op_find(&op, "dropout"));
    cJSON *config = NULL;
    void *attributes = NULL;
    OK(cnn_json_parse(&config, "dropout", "{\"rate\": 0.25, \"seed\": 5}"));
    OK(cnn_object_new(&attributes, &op->class, config));
    cJSON_Delete(config);
    float ones[ROWS * ROW], whole[ROWS * ROW], part[ROWS * ROW];
    for (int i = 0; i < ROWS * ROW; i++) ones[i] = 1;
    const char *cpus[4];
    int count = available_cpus(cpus);
    for (int k = 0; k < count; k++) {
        OK(cnn_set_cpu(cpus[k]));
        for (int from = 0; from < ROWS; from++) {
            cnn_tensor x = cnn_tensor_wrap(CNN_FLOAT32, 2, I64(ROWS - from, ROW), ones + from * ROW);
            cnn_tensor y = cnn_tensor_wrap(CNN_FLOAT32, 2, x.shape, part + from * ROW);
            const cnn_tensor *inputs[] = {&x};
            cnn_op_call call = {.attributes = attributes,
                                .n_inputs = 1,
                                .inputs = inputs,
                                .output = &y,
                                .training = true,
                                .step = 12,
                                .first_sample = from};
            OK(op->forward(&call));
            /* The first instruction set's whole batch is what all others are held to. */
            if (k == 0 && from == 0) memcpy(whole, part, sizeof whole);
            assert_memory_equal(part + from * ROW, whole + from * ROW,
                                sizeof(float) * ROW * (size_t)(ROWS - from));
        }
    }
    for (int i = 0; i < ROWS * ROW; i++) {
        uint32_t word[4];
        cnn_philox(5, 12, (uint64_t)(16 * (i / 64) + i % 16), word);
        bool kept = word[i % 64 / 16] >= 0x40000000u;
        assert_true(whole[i] == (kept ? 1 / 0.75f : 0));
    }
    cnn_object_free(attributes);
}

static void dropout_outside_training_changes_nothing(void **state) {
    (void)state;
    EXPECT(apply("dropout", "{\"rate\": 0.5}", TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 2, 3, 4)), CNN_FLOAT32,
           SHAPE(2, 2), 1, 2, 3, 4);
}

static void max_pooling_lets_nan_win(void **state) {
    (void)state;
    EXPECT(apply("max_pool2d", "", TENSOR(CNN_FLOAT32, SHAPE(1, 2, 4, 1), 1, NAN, 3, 9, 2, 0, -1, 4)),
           CNN_FLOAT32, SHAPE(1, 1, 2, 1), NAN, 9);
}

static void average_pooling_leaves_padding_out(void **state) {
    (void)state;
    EXPECT(apply("avg_pool2d", "{\"padding\": \"same\"}",
                 TENSOR(CNN_FLOAT32, SHAPE(1, 3, 3, 1), 1, 2, 3, 4, 5, 6, 7, 8, 9)),
           CNN_FLOAT32, SHAPE(1, 2, 2, 1), 3, 4.5, 7.5, 9);
}

static void pictures_of_bytes_are_rescaled(void **state) {
    (void)state;
    EXPECT(apply("rescaling", "{\"scale\": 0.5, \"offset\": 1}", TENSOR(CNN_UINT8, SHAPE(1, 3), 0, 3, 255)),
           CNN_FLOAT32, SHAPE(1, 3), 1, 2.5, 128.5);
    EXPECT(apply("flatten", "", TENSOR(CNN_UINT8, SHAPE(1, 2, 1), 0, 3)), CNN_UINT8, SHAPE(1, 2), 0, 3);
}

static void clipped_probabilities_bound_the_loss(void **state) {
    (void)state;
    cnn_tensor *p = TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 0, 0, 1), *t = TENSOR(CNN_INT32, SHAPE(2), 0, 0),
               *loss = NULL;
    OK(cnn_apply(&loss, "sparse_categorical_crossentropy", "", (cnn_tensor *[]){p, t}, 2));
    assert_true(cnn_f32(loss)[0] >= 0 && cnn_f32(loss)[0] < 2e-7f);
    assert_true(fabsf(cnn_f32(loss)[1] - 16.118095f) < 1e-4f);
    cnn_tensor_release(p);
    cnn_tensor_release(t);
    cnn_tensor_release(loss);
}

/* ---- symbolic ------------------------------------------------------------------------------------------ */

static void expect_symbolic(const char *op, const char *attributes, cnn_tensor **inputs, int n, int rank,
                            const int64_t *shape) {
    cnn_tensor *y = NULL;
    OK(cnn_apply(&y, op, attributes, inputs, n));
    assert_null(y->data);
    assert_int_equal(y->rank, rank);
    for (int i = 0; i < rank; i++) assert_int_equal(y->shape[i], shape[i]);
    assert_int_equal(y->size, rank > 0 && shape[0] < 0 ? -1 : y->size);
    cnn_tensor_release(y);
}

static void symbolic_inputs_give_shapes_with_an_unknown_batch(void **state) {
    (void)state;
    cnn_tensor *x = NULL, *row = NULL, *label = NULL, *w = NULL, *scale = NULL;
    OK(cnn_symbolic_input(&x, 3, I64(8, 9, 3), CNN_FLOAT32));
    OK(cnn_symbolic_input(&row, 1, I64(10), CNN_FLOAT32));
    OK(cnn_symbolic_input(&label, 1, I64(1), CNN_INT32));
    OK(cnn_tensor_new(&w, CNN_FLOAT32, 2, I64(10, 4)));
    OK(cnn_tensor_new(&scale, CNN_FLOAT32, 1, I64(3)));
    expect_symbolic("max_pool2d", "", &x, 1, SHAPE(-1, 4, 4, 3));
    expect_symbolic("avg_pool2d", "{\"padding\": \"same\", \"strides\": 3}", &x, 1, SHAPE(-1, 3, 3, 3));
    expect_symbolic("global_avg_pool2d", "", &x, 1, SHAPE(-1, 3));
    expect_symbolic("global_max_pool2d", "{\"keepdims\": true}", &x, 1, SHAPE(-1, 1, 1, 3));
    expect_symbolic("relu", "", &x, 1, SHAPE(-1, 8, 9, 3));
    expect_symbolic("softmax", "", &x, 1, SHAPE(-1, 8, 9, 3));
    expect_symbolic("dropout", "{\"rate\": 0.5}", &x, 1, SHAPE(-1, 8, 9, 3));
    expect_symbolic("flatten", "", &x, 1, SHAPE(-1, 216));
    expect_symbolic("reshape", "{\"target_shape\": [-1, 27]}", &x, 1, SHAPE(-1, 8, 27));
    expect_symbolic("transpose", "{\"axes\": [0, 3, 1, 2]}", &x, 1, SHAPE(-1, 3, 8, 9));
    expect_symbolic("zero_pad2d", "{\"top\": 2, \"right\": 1}", &x, 1, SHAPE(-1, 10, 10, 3));
    expect_symbolic("add", "", (cnn_tensor *[]){x, x}, 2, SHAPE(-1, 8, 9, 3));
    expect_symbolic("multiply", "", (cnn_tensor *[]){x, scale}, 2, SHAPE(-1, 8, 9, 3));
    expect_symbolic("concatenate", "", (cnn_tensor *[]){x, x, x}, 3, SHAPE(-1, 8, 9, 9));
    expect_symbolic("mean", "{\"axis\": [1, 2]}", &x, 1, SHAPE(-1, 3));
    expect_symbolic("sum", "{\"axis\": 0}", &x, 1, SHAPE(8, 9, 3));
    expect_symbolic("dense", "", (cnn_tensor *[]){row, w}, 2, SHAPE(-1, 4));
    expect_symbolic("matmul", "", (cnn_tensor *[]){row, w}, 2, SHAPE(-1, 4));
    expect_symbolic("sparse_categorical_crossentropy", "", (cnn_tensor *[]){row, label}, 2, SHAPE(-1));
    expect_symbolic("mse", "", (cnn_tensor *[]){row, row}, 2, SHAPE(-1));
    for (int i = 0; i < 5; i++) cnn_tensor_release(((cnn_tensor *[]){x, row, label, w, scale})[i]);
}

/* ---- errors -------------------------------------------------------------------------------------------- */

static void refuse(const char *op, const char *attributes, const char *first, const char *second,
                   cnn_status status, const char *text) {
    uint32_t state = 1;
    cnn_tensor *inputs[2] = {make_input(first, &state), second ? make_input(second, &state) : NULL},
               *y = NULL;
    assert_fails(cnn_apply(&y, op, attributes, inputs, second ? 2 : 1), status, text);
    assert_null(y);
    cnn_tensor_release(inputs[0]);
    cnn_tensor_release(inputs[1]);
}

static void errors_say_what_came(void **state) {
    (void)state;
    refuse("max_pool2d", "{\"pool_size\": 3}", "4,2,2,8", NULL, CNN_ERROR_SHAPE,
           "max_pool2d: a 3×3 window does not fit an input of shape (4, 2, 2, 8)");
    refuse("avg_pool2d", "", "4,2", NULL, CNN_ERROR_SHAPE,
           "avg_pool2d: expected an input [N,H,W,C], got shape (4, 2)");
    refuse("max_pool2d", "{\"pool_sise\": 3}", "4,2,2,8", NULL, CNN_ERROR_ARGUMENT,
           "did you mean 'pool_size'?");
    refuse("reluu", "", "4", NULL, CNN_ERROR_ARGUMENT, "did you mean 'relu'?");
    refuse("relu", "", "4", "4", CNN_ERROR_ARGUMENT, "relu: expected 1 to 1 inputs, got 2");
    refuse("leaky_relu", "{\"negative_slope\": -1}", "4", NULL, CNN_ERROR_ARGUMENT,
           "'negative_slope' must be at least 0");
    refuse("dropout", "{\"rate\": 1.5}", "4", NULL, CNN_ERROR_ARGUMENT,
           "'rate' must be between 0 and 1, got 1.5");
    refuse("softmax", "{\"axis\": 2}", "4,3", NULL, CNN_ERROR_ARGUMENT, "softmax");
    refuse("dense", "", "4,3", "2,5", CNN_ERROR_SHAPE,
           "dense: weights of shape (2, 5) do not fit an input of shape (4, 3)");
    refuse("dense", "", "4", "4,5", CNN_ERROR_SHAPE, "dense: expected an input [N,…,K], got shape (4,)");
    refuse("bias_add", "", "4,3", "2", CNN_ERROR_SHAPE, "bias_add: expected a bias (3,), got shape (2,)");
    refuse("reshape", "{\"target_shape\": [5, -1]}", "2,4,3", NULL, CNN_ERROR_SHAPE,
           "reshape: a sample of shape (4, 3) does not fit into (5, None)");
    refuse("reshape", "{\"target_shape\": [-1, -1]}", "2,4,3", NULL, CNN_ERROR_ARGUMENT, "one may be -1");
    refuse("transpose", "{\"axes\": [0, 0]}", "2,4", NULL, CNN_ERROR_ARGUMENT,
           "axes (0, 0) are not a permutation");
    refuse("concatenate", "", "2,4", "3,4", CNN_ERROR_SHAPE,
           "concatenate: shapes (2, 4) and (3, 4) (input 2) differ");
    refuse("add", "", "2,4", "3", CNN_ERROR_SHAPE, "(2, 4)");
    refuse("matmul", "", "2,4", "3,4", CNN_ERROR_SHAPE, "got shapes (2, 4) and (3, 4)");
    refuse("mean", "{\"axis\": 3}", "2,4", NULL, CNN_ERROR_ARGUMENT, "mean");
    refuse("mse", "", "2,4", "2,3", CNN_ERROR_SHAPE,
           "mean_squared_error: labels of shape (2, 3) do not fit predictions of shape (2, 4)");
    refuse("sparse_categorical_crossentropy", "", "2,4", "i3:2,4", CNN_ERROR_SHAPE, "labels of shape (2, 4)");
    refuse("categorical_crossentropy", "{\"axis\": 0}", "2,4", "2,4", CNN_ERROR_ARGUMENT,
           "last axis, got axis = 0");
}

static void wrong_labels_are_named(void **state) {
    (void)state;
    uint32_t seed = 1;
    cnn_tensor *p = make_input("p20,10", &seed), *t = NULL, *f = make_input("f10:20", &seed), *y = NULL;
    OK(cnn_tensor_new(&t, CNN_INT32, 1, I64(20)));
    cnn_i32(t)[5] = 12;
    assert_fails(cnn_apply(&y, "sparse_categorical_crossentropy", "", (cnn_tensor *[]){p, t}, 2),
                 CNN_ERROR_ARGUMENT,
                 "sparse_categorical_crossentropy: label 12 at sample 5 is not in [0, 10)");
    cnn_f32(f)[13] = 2.5f;
    assert_fails(cnn_apply(&y, "sparse_categorical_crossentropy", "", (cnn_tensor *[]){p, f}, 2),
                 CNN_ERROR_ARGUMENT, "label 2.5 at sample 13 is not a whole number");
    cnn_f32(f)[13] = NAN;
    assert_fails(cnn_apply(&y, "sparse_categorical_crossentropy", "", (cnn_tensor *[]){p, f}, 2),
                 CNN_ERROR_ARGUMENT, "label nan at sample 13 is not in [0, 10)");
    for (int i = 0; i < 3; i++) cnn_tensor_release(((cnn_tensor *[]){p, t, f})[i]);
}

/* ---- odd sizes and memory ------------------------------------------------------------------------------ */

static void empty_batches_are_fine(void **state) {
    (void)state;
    static const op_case empty[] = {
        {"relu", NULL, {"0,3"}},
        {"softmax", NULL, {"0,3"}},
        {"dense", NULL, {"0,3", "3,2", "2"}},
        {"max_pool2d", NULL, {"0,4,4,2"}},
        {"dropout", "{\"rate\": 0.5}", {"0,3"}},
        {"add", NULL, {"0,3", "3"}},
        {"mse", NULL, {"0,3", "0,3"}},
        {"sparse_categorical_crossentropy", NULL, {"0,3", "i3:0"}},
        {"conv2d", NULL, {"0,4,4,2", "3,3,2,2"}},
    };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        op_run r;
        run_open(&r, &empty[i]);
        OK(run_forward(&r));
        OK(run_backward(&r));
        run_close(&r);
    }
}

typedef struct countdown {
    int left;
} countdown;

static bool fails_at_last(size_t size, void *data) {
    (void)size;
    return ((countdown *)data)->left-- == 0;
}

/* Runs with the first, second, … allocation failing, until one run needs no more than are left. */
static void check_memory(const op_case *c) {
    op_run r;
    run_open(&r, c);
    for (int n = 0;; n++) {
        size_t before = cnn_memory_used();
        countdown count = {n};
        cnn_tensor *y = NULL;
        cnn_set_alloc_hook(fails_at_last, &count);
        cnn_status status = cnn_apply(&y, r.op->class.name, c->attributes, r.inputs, r.n_inputs);
        if (status == CNN_OK) status = run_forward(&r);
        if (status == CNN_OK) status = run_backward(&r);
        cnn_set_alloc_hook(NULL, NULL);
        cnn_tensor_release(y);
        if (status != CNN_OK && status != CNN_ERROR_MEMORY) show(c);
        assert_true(status == CNN_OK || status == CNN_ERROR_MEMORY);
        assert_int_equal(cnn_memory_used(), before);
        if (status == CNN_OK && count.left >= 0) break;
    }
    run_close(&r);
}

static void exhausted_memory_is_a_status_and_nothing_leaks(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    for (int k = 0; k < CASE_COUNT; k++) check_memory(&cases[k]);
    assert_int_equal(cnn_memory_used(), before);
}

/* ---- the registry -------------------------------------------------------------------------------------- */

static void every_op_has_a_gradient_test(void **state) {
    (void)state;
    for (int i = 0; cnn_ops[i]; i++) {
        if (!cnn_ops[i]->backward) continue;
        bool tested = false;
        for (int k = 0; k < CASE_COUNT && !tested; k++) {
            const cnn_op *op;
            OK(cnn_op_find(&op, cases[k].op + (*cases[k].op == '!')));
            tested = op == cnn_ops[i];
        }
        if (!tested) print_error("%s has no gradient test\n", cnn_ops[i]->class.name);
        assert_true(tested);
    }
}

static void losses_are_ops_too(void **state) {
    (void)state;
    for (int i = 0; cnn_losses[i]; i++) {
        const cnn_op *op;
        OK(cnn_op_find(&op, cnn_losses[i]->class.name));
        assert_ptr_equal(op, cnn_losses[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(results_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(large_results_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(fused_ops_are_their_parts_one_after_the_other),
        cmocka_unit_test(activations_have_their_values_at_the_edges),
        cmocka_unit_test(functions_are_accurate),
        cmocka_unit_test(dropout_goes_by_place_in_the_batch),
        cmocka_unit_test(dropout_outside_training_changes_nothing),
        cmocka_unit_test(max_pooling_lets_nan_win),
        cmocka_unit_test(average_pooling_leaves_padding_out),
        cmocka_unit_test(pictures_of_bytes_are_rescaled),
        cmocka_unit_test(clipped_probabilities_bound_the_loss),
        cmocka_unit_test(symbolic_inputs_give_shapes_with_an_unknown_batch),
        cmocka_unit_test(errors_say_what_came),
        cmocka_unit_test(wrong_labels_are_named),
        cmocka_unit_test(empty_batches_are_fine),
        cmocka_unit_test(exhausted_memory_is_a_status_and_nothing_leaks),
        cmocka_unit_test(every_op_has_a_gradient_test),
        cmocka_unit_test(losses_are_ops_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
