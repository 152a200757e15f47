/* Initializers, with Keras's names and definitions. The variance-scaling family (Glorot & Bengio 2010, He et al.
 * 2015, LeCun et al. 1998) draws with variance scale / fan: fan_in is the number of inputs that meet in one output,
 * fan_out the number of outputs that one input reaches; for a convolution both count the window's cells. */
#include "layers/initializer.h"
#include "base/random.h"
#include "base/status.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { FAN_IN, FAN_OUT, FAN_AVG };
enum { TRUNCATED_NORMAL, UNTRUNCATED_NORMAL, UNIFORM, NORMAL };

static int64_t count_of(int rank, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    return count;
}

static void fill_constant(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                          const int64_t *shape) {
    (void)random;
    for (int64_t i = 0, n = count_of(rank, shape); i < n; i++) out[i] = (float)init->value;
}

static void fill_uniform(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                         const int64_t *shape) {
    cnn_random_uniform(random, out, count_of(rank, shape), (float)init->minval, (float)init->maxval);
}

static void fill_normal(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                        const int64_t *shape) {
    cnn_random_normal(random, out, count_of(rank, shape), (float)init->mean, (float)init->stddev);
}

static void fill_truncated(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                           const int64_t *shape) {
    cnn_random_truncated_normal(random, out, count_of(rank, shape), (float)init->mean, (float)init->stddev);
}

static void fans(int rank, const int64_t *shape, double *fan_in, double *fan_out) {
    double window = 1;
    for (int i = 0; i < rank - 2; i++) window *= (double)shape[i];
    *fan_in = rank == 0 ? 1 : window * (double)shape[rank >= 2 ? rank - 2 : 0];
    *fan_out = rank == 0 ? 1 : window * (double)shape[rank - 1];
}

static void fill_scaled(cnn_random *random, float *out, int rank, const int64_t *shape, double scale,
                        int mode, int distribution) {
    double fan_in, fan_out;
    fans(rank, shape, &fan_in, &fan_out);
    double fan = mode == FAN_IN ? fan_in : mode == FAN_OUT ? fan_out : (fan_in + fan_out) / 2;
    double variance = scale / (fan > 1 ? fan : 1);
    int64_t count = count_of(rank, shape);
    /* Cutting a normal at two deviations leaves this deviation. */
    const double truncated_stddev = .87962566103423978;
    if (distribution == UNIFORM) {
        float limit = (float)sqrt(3 * variance);
        cnn_random_uniform(random, out, count, -limit, limit);
    } else if (distribution == TRUNCATED_NORMAL || distribution == NORMAL) { /* the latter: its older name */
        cnn_random_truncated_normal(random, out, count, 0, (float)(sqrt(variance) / truncated_stddev));
    } else {
        cnn_random_normal(random, out, count, 0, (float)sqrt(variance));
    }
}

static void fill_variance_scaling(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                                  const int64_t *shape) {
    fill_scaled(random, out, rank, shape, init->scale, init->mode, init->distribution);
}

static void fill_glorot_uniform(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                                const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 1, FAN_AVG, UNIFORM);
}

static void fill_glorot_normal(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                               const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 1, FAN_AVG, TRUNCATED_NORMAL);
}

static void fill_he_uniform(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                            const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 2, FAN_IN, UNIFORM);
}

static void fill_he_normal(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                           const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 2, FAN_IN, TRUNCATED_NORMAL);
}

static void fill_lecun_uniform(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                               const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 1, FAN_IN, UNIFORM);
}

static void fill_lecun_normal(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                              const int64_t *shape) {
    (void)init;
    fill_scaled(random, out, rank, shape, 1, FAN_IN, TRUNCATED_NORMAL);
}

static void fill_zeros(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                       const int64_t *shape) {
    (void)init, (void)random;
    memset(out, 0, (size_t)count_of(rank, shape) * sizeof *out);
}

static void fill_ones(const cnn_initializer *init, cnn_random *random, float *out, int rank,
                      const int64_t *shape) {
    (void)init, (void)random;
    for (int64_t i = 0, n = count_of(rank, shape); i < n; i++) out[i] = 1;
}

/* ---- classes ------------------------------------------------------------------------------------------- */

#define NUMBER(field, value, ...) CNN_PARAM(FLOAT, cnn_initializer, field, value, __VA_ARGS__)
#define SEED                                                                                                 \
    CNN_PARAM(INT, cnn_initializer, seed, "null", .nullable = true,                                          \
              .help = "of a generator of its own; nil draws from the default one")

/* TensorFlow 1 wrote the dtype too. */
#define DTYPE CNN_IGNORED_PARAM("dtype")

static const cnn_param no_params[] = {DTYPE, {0}};
static const cnn_param seed_params[] = {SEED, DTYPE, {0}};
static const cnn_param constant_params[] = {
    NUMBER(value, "0", .help = "the value of every weight"), DTYPE, {0}};
static const cnn_param uniform_params[] = {NUMBER(minval, "-0.05", .help = "lower bound"),
                                           NUMBER(maxval, "0.05", .help = "upper bound, not reached"),
                                           SEED,
                                           DTYPE,
                                           {0}};
static const cnn_param normal_params[] = {NUMBER(mean, "0", .help = "their mean"),
                                          NUMBER(stddev, "0.05", .help = "their standard deviation"),
                                          SEED,
                                          DTYPE,
                                          {0}};
static const cnn_param scaling_params[] = {
    NUMBER(scale, "1", .help = "the variance is scale / fan"),
    CNN_PARAM(CHOICE, cnn_initializer, mode, "\"fan_in\"", .choices = "fan_in fan_out fan_avg",
              .help = "which fan divides"),
    CNN_PARAM(CHOICE, cnn_initializer, distribution, "\"truncated_normal\"",
              .choices = "truncated_normal untruncated_normal uniform normal",
              .help = "what is drawn; 'normal' is an older name of 'truncated_normal'"),
    SEED,
    DTYPE,
    {0}};

#define INITIALIZER(id, name_, aliases_, params_)                                                            \
    static const cnn_initializer_class id = {                                                                \
        .class = CNN_CLASS("initializer", name_, aliases_, cnn_initializer, params_), .fill = fill_##id}

/*** All weights 0: how biases start.
@class cnn.initializers.Zeros
@usage
cnn.initializers.Zeros{}{2, 3}
--> float32 (2, 3)
--> [[0. 0. 0.]
-->  [0. 0. 0.]]
*/
INITIALIZER(zeros, "Zeros", "zero", no_params);

/*** All weights 1: how the factors of normalizations start.
@class cnn.initializers.Ones
@usage
cnn.initializers.Ones{}{3}
--> float32 (3,)
--> [1. 1. 1.]
*/
INITIALIZER(ones, "Ones", "one", no_params);

/*** All weights the same value.
@class cnn.initializers.Constant
@usage
cnn.initializers.Constant{0.1}{3}
--> float32 (3,)
--> [0.1 0.1 0.1]
layers.Dense{8, bias_initializer = cnn.initializers.Constant{0.1}}
*/
INITIALIZER(constant, "Constant", NULL, constant_params);

/*** Numbers drawn evenly from [minval, maxval).
@class cnn.initializers.RandomUniform
@usage
w = cnn.initializers.RandomUniform{-1, 1, seed = 1}{100, 100}
-1 <= w:min():item() and w:max():item() < 1  --> true
*/
INITIALIZER(uniform, "RandomUniform", "uniform", uniform_params);

/*** Numbers drawn from a normal distribution.
The same stddev for all layers, whatever their size, is what GlorotNormal and HeNormal improve on.
@class cnn.initializers.RandomNormal
@usage
w = cnn.initializers.RandomNormal{stddev = 0.01, seed = 1}{100, 100}
("%.3f"):format(w:std():item())  --> 0.010
*/
INITIALIZER(normal, "RandomNormal", "normal", normal_params);

/*** Numbers drawn from a normal distribution, those further than two standard deviations from the mean drawn again.
@class cnn.initializers.TruncatedNormal
@usage
w = cnn.initializers.TruncatedNormal{stddev = 1, seed = 1}{100, 100}
w:abs():max():item() <= 2  --> true
*/
INITIALIZER(truncated, "TruncatedNormal", NULL, normal_params);

/*** Numbers of variance scale / fan, of which the Glorot, He and LeCun initializers are special cases.

fan_in is the number of inputs that meet in one output, fan_out the number of outputs that one input reaches, fan_avg
their mean; for a convolution they count the window's cells too: of a kernel [3,3,16,32] fan_in is 3·3·16. What is
drawn is uniform in ±sqrt(3·variance), normal, or normal without what lies beyond two deviations.
@class cnn.initializers.VarianceScaling
@usage
he = cnn.initializers.VarianceScaling{2, mode = "fan_in", distribution = "untruncated_normal", seed = 1}
("%.2f, %.2f"):format(he{3, 3, 16, 512}:std():item(), math.sqrt(2 / (3 * 3 * 16)))  --> 0.12, 0.12
*/
INITIALIZER(variance_scaling, "VarianceScaling", NULL, scaling_params);

/*** Numbers drawn evenly from ±sqrt(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).
Signals forward and gradients backward stay about as large from layer to layer: the default of Dense and all
convolutions.
@class cnn.initializers.GlorotUniform
@usage
w = cnn.initializers.GlorotUniform{seed = 1}{300, 100}
limit = math.sqrt(6 / (300 + 100))
w:abs():max():item() <= limit, ("%.3f, %.3f"):format(w:std():item(), math.sqrt(2 / 400))
--> true
--> 0.071, 0.071
*/
INITIALIZER(glorot_uniform, "GlorotUniform", "xavier_uniform", seed_params);

/*** Truncated normal numbers of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).
@class cnn.initializers.GlorotNormal
@usage
w = cnn.initializers.GlorotNormal{seed = 1}{300, 100}
("%.3f, %.3f"):format(w:std():item(), math.sqrt(2 / 400))  --> 0.071, 0.071
*/
INITIALIZER(glorot_normal, "GlorotNormal", "xavier_normal", seed_params);

/*** Numbers drawn evenly from ±sqrt(6 / fan_in): variance 2 / fan_in, for layers followed by relu (He et al. 2015).
@class cnn.initializers.HeUniform
@usage
w = cnn.initializers.HeUniform{seed = 1}{200, 100}
("%.2f, %.2f"):format(w:std():item(), math.sqrt(2 / 200))  --> 0.10, 0.10
*/
INITIALIZER(he_uniform, "HeUniform", NULL, seed_params);

/*** Truncated normal numbers of variance 2 / fan_in, for layers followed by relu (He et al. 2015).

relu lets half through, so that weights are twice as large in square as LeCun's to keep signals alive through many
layers.
@class cnn.initializers.HeNormal
@usage
w = cnn.initializers.HeNormal{seed = 1}{200, 100}
("%.2f, %.2f"):format(w:std():item(), math.sqrt(2 / 200))  --> 0.10, 0.10
layers.Conv2D{32, 3, activation = "relu", kernel_initializer = "he_normal"}
*/
INITIALIZER(he_normal, "HeNormal", NULL, seed_params);

/*** Numbers drawn evenly from ±sqrt(3 / fan_in): variance 1 / fan_in (LeCun et al. 1998).
@class cnn.initializers.LecunUniform
@usage
w = cnn.initializers.LecunUniform{seed = 1}{100, 100}
("%.2f"):format(w:std():item())  --> 0.10
*/
INITIALIZER(lecun_uniform, "LecunUniform", NULL, seed_params);

/*** Truncated normal numbers of variance 1 / fan_in (LeCun et al. 1998), as selu wants them.
@class cnn.initializers.LecunNormal
@usage
w = cnn.initializers.LecunNormal{seed = 1}{100, 100}
("%.2f"):format(w:std():item())  --> 0.10
*/
INITIALIZER(lecun_normal, "LecunNormal", NULL, seed_params);

const cnn_class *const cnn_initializers[] = {&zeros.class,
                                             &ones.class,
                                             &constant.class,
                                             &uniform.class,
                                             &normal.class,
                                             &truncated.class,
                                             &variance_scaling.class,
                                             &glorot_uniform.class,
                                             &glorot_normal.class,
                                             &he_uniform.class,
                                             &he_normal.class,
                                             &lecun_uniform.class,
                                             &lecun_normal.class,
                                             NULL};

static cnn_status check_initializer(const cJSON *spec) {
    void *object;
    CNN_TRY(cnn_object_from(&object, cnn_initializers, spec));
    cnn_object_free(object);
    return CNN_OK;
}

static cJSON *write_initializer(const cJSON *spec, cnn_keras keras) {
    void *object;
    if (cnn_object_from(&object, cnn_initializers, spec) != CNN_OK) return NULL;
    cnn_initializer *init = object;
    if (init->distribution == NORMAL) init->distribution = TRUNCATED_NORMAL;
    cJSON *json =
        cnn_keras_object(init->class->name, cnn_object_config_as(object, keras), "keras.initializers", keras);
    cnn_object_free(object);
    return json;
}

const cnn_param_spec cnn_initializer_spec = {check_initializer, write_initializer};

cnn_status cnn_initializer_fill(const cJSON *spec, cnn_random *random, float *out, int rank,
                                const int64_t *shape) {
    void *object;
    CNN_TRY(cnn_object_from(&object, cnn_initializers, spec));
    const cnn_initializer *init = object;
    cnn_random own = {.key = (uint64_t)init->seed};
    bool seeded =
        init->seed != INT_MIN && init->class->params != no_params && init->class->params != constant_params;
    ((const cnn_initializer_class *)init->class)->fill(init, seeded ? &own : random, out, rank, shape);
    cnn_object_free(object);
    return CNN_OK;
}

/* ---- regularizers -------------------------------------------------------------------------------------- */

typedef struct regularizer {
    const cnn_class *class;
    double l1, l2;
} regularizer;

#define FACTOR(field, value, of)                                                                             \
    CNN_PARAM(FLOAT, regularizer, field, value, .low = 0, .high = 1e30, .help = "loss += " #field "·" of)
static const cnn_param l1_params[] = {FACTOR(l1, "0.01", "Σ|w|"), {0}};
static const cnn_param l2_params[] = {FACTOR(l2, "0.01", "Σw²"), {0}};
static const cnn_param both_params[] = {FACTOR(l1, "0", "Σ|w|"), FACTOR(l2, "0", "Σw²"), {0}};
/*** Adds l1 · Σ|w| to the loss: pulls each weight to 0 alike, so that many become 0.
@class cnn.regularizers.L1
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {4}, kernel_initializer = "ones",
  kernel_regularizer = cnn.regularizers.L1{0.5}}}
model:compile{loss = "mse"}
model:evaluate{cnn.zeros{2, 4}, cnn.zeros{2, 1}, verbose = 0}  --> 2.0
*/
static const cnn_class l1_class = CNN_CLASS("regularizer", "L1", NULL, regularizer, l1_params);
/*** Adds l2 · Σw² to the loss: keeps weights small, the large ones above all.
@class cnn.regularizers.L2
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {4}, kernel_initializer = cnn.initializers.Constant{3},
  kernel_regularizer = cnn.regularizers.L2{0.5}}}
model:compile{loss = "mse"}
model:evaluate{cnn.zeros{2, 4}, cnn.zeros{2, 1}, verbose = 0}  --> 18.0
*/
static const cnn_class l2_class = CNN_CLASS("regularizer", "L2", NULL, regularizer, l2_params);
/*** Adds l1 · Σ|w| + l2 · Σw² to the loss.
@class cnn.regularizers.L1L2
@usage
layers.Dense{64, kernel_regularizer = cnn.regularizers.L1L2{l1 = 1e-5, l2 = 1e-4}}
layers.Dense{64, kernel_regularizer = "l1_l2"}
*/
static const cnn_class both_class = CNN_CLASS("regularizer", "L1L2", "l1_l2", regularizer, both_params);
const cnn_class *const cnn_regularizers[] = {&l1_class, &l2_class, &both_class, NULL};

cnn_status cnn_regularizer_read(const cJSON *spec, float *l1, float *l2) {
    *l1 = *l2 = 0;
    if (!spec || cJSON_IsNull(spec)) return CNN_OK;
    void *object;
    CNN_TRY(cnn_object_from(&object, cnn_regularizers, spec));
    *l1 = (float)((regularizer *)object)->l1;
    *l2 = (float)((regularizer *)object)->l2;
    cnn_object_free(object);
    return CNN_OK;
}

static cnn_status check_regularizer(const cJSON *spec) {
    float l1, l2;
    return cnn_regularizer_read(spec, &l1, &l2);
}

static cJSON *write_regularizer(const cJSON *spec, cnn_keras keras) {
    void *object;
    if (!spec) return cJSON_CreateNull();
    if (cnn_object_from(&object, cnn_regularizers, spec) != CNN_OK) return NULL;
    cJSON *json = cnn_keras_object(((regularizer *)object)->class->name, cnn_object_config_as(object, keras),
                                   "keras.regularizers", keras);
    cnn_object_free(object);
    return json;
}

const cnn_param_spec cnn_regularizer_spec = {check_regularizer, write_regularizer};
