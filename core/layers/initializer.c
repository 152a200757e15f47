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
static const cnn_param normal_params[] = {NUMBER(mean, "0", .help = "mean"),
                                          NUMBER(stddev, "0.05", .help = "standard deviation"),
                                          SEED,
                                          DTYPE,
                                          {0}};
static const cnn_param scaling_params[] = {
    NUMBER(scale, "1", .help = "variance = scale / fan"),
    CNN_PARAM(CHOICE, cnn_initializer, mode, "\"fan_in\"", .choices = "fan_in fan_out fan_avg",
              .help = "which fan"),
    CNN_PARAM(CHOICE, cnn_initializer, distribution, "\"truncated_normal\"",
              .choices = "truncated_normal untruncated_normal uniform normal", .help = "what is drawn"),
    SEED,
    DTYPE,
    {0}};

#define INITIALIZER(id, class_name, class_aliases, class_params, class_help)                                 \
    static const cnn_initializer_class id = {.class = {.kind = "initializer",                                \
                                                       .name = class_name,                                   \
                                                       .aliases = class_aliases,                             \
                                                       .size = sizeof(cnn_initializer),                      \
                                                       .params = class_params,                               \
                                                       .help = class_help},                                  \
                                             .fill = fill_##id}

INITIALIZER(zeros, "Zeros", "zero", no_params, "All weights 0.");
INITIALIZER(ones, "Ones", "one", no_params, "All weights 1.");
INITIALIZER(constant, "Constant", NULL, constant_params, "All weights the same value.");
INITIALIZER(uniform, "RandomUniform", "uniform", uniform_params, "Uniform in [minval, maxval).");
INITIALIZER(normal, "RandomNormal", "normal", normal_params, "Normal.");
INITIALIZER(truncated, "TruncatedNormal", NULL, normal_params, "Normal, redrawn beyond two deviations.");
INITIALIZER(variance_scaling, "VarianceScaling", NULL, scaling_params, "Variance scale / fan.");
INITIALIZER(glorot_uniform, "GlorotUniform", "xavier_uniform", seed_params,
            "Uniform of variance 2 / (fan_in + fan_out).");
INITIALIZER(glorot_normal, "GlorotNormal", "xavier_normal", seed_params,
            "Truncated normal of variance 2 / (fan_in + fan_out).");
INITIALIZER(he_uniform, "HeUniform", NULL, seed_params, "Uniform of variance 2 / fan_in.");
INITIALIZER(he_normal, "HeNormal", NULL, seed_params, "Truncated normal of variance 2 / fan_in.");
INITIALIZER(lecun_uniform, "LecunUniform", NULL, seed_params, "Uniform of variance 1 / fan_in.");
INITIALIZER(lecun_normal, "LecunNormal", NULL, seed_params, "Truncated normal of variance 1 / fan_in.");

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

#define FACTOR(field, value)                                                                                 \
    CNN_PARAM(FLOAT, regularizer, field, value, .low = 0, .high = 1e30,                                      \
              .help = "loss += " #field "·(sum over the weights)")
static const cnn_param l1_params[] = {FACTOR(l1, "0.01"), {0}};
static const cnn_param l2_params[] = {FACTOR(l2, "0.01"), {0}};
static const cnn_param both_params[] = {FACTOR(l1, "0"), FACTOR(l2, "0"), {0}};
static const cnn_class l1_class =
    CNN_CLASS("regularizer", "L1", NULL, regularizer, l1_params, "loss += l1·Σ|w|");
static const cnn_class l2_class =
    CNN_CLASS("regularizer", "L2", NULL, regularizer, l2_params, "loss += l2·Σw²");
static const cnn_class both_class =
    CNN_CLASS("regularizer", "L1L2", "l1_l2", regularizer, both_params, "loss += l1·Σ|w| + l2·Σw²");
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
