/* Learning-rate schedules, defined as in Keras 3 (keras.optimizers.schedules), in double precision.
 * Step counts are real numbers there, and so are they here. */
#include "train/schedule.h"
#include "train/optimizer.h"
#include "base/status.h"

#include <math.h>

#define NAME_PARAM(default_name)                                                                             \
    CNN_PARAM(STRING, cnn_schedule, name, default_name, .help = "name of the schedule")

static cnn_status positive(const cnn_schedule *schedule, const char *argument, double value) {
    if (value > 0 && isfinite(value)) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be greater than 0, got %g", schedule->class->name,
                    argument, value);
}

/* ---- ExponentialDecay: rate(t) = initial · decay_rate^(t / decay_steps) ---------------------------------
 */

typedef struct exponential_decay {
    cnn_schedule head;
    double initial, steps, decay;
    bool staircase;
} exponential_decay;

static const cnn_param exponential_params[] = {
    CNN_PARAM_NAMED(FLOAT, exponential_decay, initial, "initial_learning_rate", NULL,
                    .help = "rate of the first step"),
    CNN_PARAM_NAMED(FLOAT, exponential_decay, steps, "decay_steps", NULL,
                    .help = "steps in which the rate shrinks by decay_rate"),
    CNN_PARAM_NAMED(FLOAT, exponential_decay, decay, "decay_rate", NULL, .low = 0, .high = INFINITY,
                    .help = "factor by which the rate shrinks"),
    CNN_PARAM(BOOL, exponential_decay, staircase, "false",
              .help = "shrink at once every decay_steps steps instead of a little at each"),
    NAME_PARAM("\"ExponentialDecay\""),
    {0}};

static cnn_status exponential_check(const cnn_schedule *schedule) {
    return positive(schedule, "decay_steps", ((const exponential_decay *)schedule)->steps);
}

static double exponential_rate(const cnn_schedule *schedule, int64_t iterations) {
    const exponential_decay *s = (const exponential_decay *)schedule;
    double power = (double)iterations / s->steps;
    return s->initial * pow(s->decay, s->staircase ? floor(power) : power);
}

/*** The learning rate shrinks by decay_rate every decay_steps steps.
It is initial_learning_rate · decay_rate^(step / decay_steps). Given to an optimizer as its learning_rate. A step is a
batch; with staircase the exponent is rounded down, so that the rate falls in stairs.
@class cnn.optimizers.schedules.ExponentialDecay
@raise decay_steps that are not above 0
@usage
schedule = cnn.optimizers.schedules.ExponentialDecay{0.1, decay_steps = 2, decay_rate = 0.25}
sgd, w, g = cnn.optimizers.SGD{schedule}, cnn.zeros{1}, cnn.ones{1}
for step = 1, 4 do sgd:apply_gradients({g}, {w}) print(("%.5f"):format(sgd.learning_rate)) end
--> 0.05000
--> 0.02500
--> 0.01250
--> 0.00625
*/
static const cnn_schedule_class exponential_class = {
    .class =
        CNN_CLASS("learning rate schedule", "ExponentialDecay", NULL, exponential_decay, exponential_params),
    .check = exponential_check,
    .rate = exponential_rate};

/* ---- CosineDecay (Loshchilov and Hutter 2016), with a linear warm-up (Goyal et al. 2017) ----------------
 */

typedef struct cosine_decay {
    cnn_schedule head;
    double initial, steps, alpha, warmup_target, warmup_steps;
} cosine_decay;

static const cnn_param cosine_params[] = {
    CNN_PARAM_NAMED(FLOAT, cosine_decay, initial, "initial_learning_rate", NULL,
                    .help = "rate of the first step"),
    CNN_PARAM_NAMED(FLOAT, cosine_decay, steps, "decay_steps", NULL,
                    .help = "steps from the highest rate to the lowest"),
    CNN_PARAM(FLOAT, cosine_decay, alpha, "0", .help = "lowest rate, as a share of the highest"),
    NAME_PARAM("\"CosineDecay\""),
    CNN_PARAM(FLOAT, cosine_decay, warmup_target, "null", .nullable = true,
              .help = "rate that the warm-up rises to; null: no warm-up"),
    CNN_PARAM(FLOAT, cosine_decay, warmup_steps, "0", .low = 0, .high = INFINITY,
              .help = "steps of the warm-up, before those of the decay"),
    {0}};

static cnn_status cosine_check(const cnn_schedule *schedule) {
    return positive(schedule, "decay_steps", ((const cosine_decay *)schedule)->steps);
}

static double cosine_rate(const cnn_schedule *schedule, int64_t iterations) {
    const cosine_decay *s = (const cosine_decay *)schedule;
    const double pi = 3.14159265358979323846;
    double step = (double)iterations, highest = s->initial;
    if (!isnan(s->warmup_target)) {
        if (step < s->warmup_steps)
            return s->initial + (s->warmup_target - s->initial) * step / s->warmup_steps;
        step -= s->warmup_steps;
        highest = s->warmup_target;
    }
    double share = fmin(step, s->steps) / s->steps;
    return highest * (s->alpha + (1 - s->alpha) * 0.5 * (1 + cos(pi * share)));
}

/*** The learning rate falls along half a cosine (Loshchilov and Hutter 2016).
In decay_steps steps it comes to alpha times where it began: initial_learning_rate · (alpha + (1 - alpha) · (1 + cos(π
· step / decay_steps)) / 2), and stays there. Given a warmup_target, the rate first rises in warmup_steps steps from
the initial one to that, and falls from there. Given to an optimizer as its learning_rate; a step is a batch.
@class cnn.optimizers.schedules.CosineDecay
@raise decay_steps that are not above 0
@usage
schedule = cnn.optimizers.schedules.CosineDecay{0.1, decay_steps = 4}
sgd, w, g = cnn.optimizers.SGD{schedule}, cnn.zeros{1}, cnn.ones{1}
for step = 1, 5 do sgd:apply_gradients({g}, {w}) print(("%.4f"):format(sgd.learning_rate)) end
--> 0.0854
--> 0.0500
--> 0.0146
--> 0.0000
--> 0.0000
*/
static const cnn_schedule_class cosine_class = {
    .class = CNN_CLASS("learning rate schedule", "CosineDecay", NULL, cosine_decay, cosine_params),
    .check = cosine_check,
    .rate = cosine_rate};

/* ---- PiecewiseConstantDecay: values[i] up to and with step boundaries[i] ---------------------------------
 */

typedef struct piecewise_decay {
    cnn_schedule head;
    cJSON *boundaries, *values;
} piecewise_decay;

static const cnn_param piecewise_params[] = {
    CNN_PARAM(JSON, piecewise_decay, boundaries, NULL, .help = "rising list of steps"),
    CNN_PARAM(JSON, piecewise_decay, values, NULL,
              .help = "rates: one up to each boundary (inclusive), and one after the last"),
    NAME_PARAM("\"PiecewiseConstant\""),
    {0}};

static cnn_status numbers(const cnn_schedule *schedule, const char *argument, const cJSON *list) {
    const cJSON *item = NULL;
    bool fine = cJSON_IsArray(list);
    cJSON_ArrayForEach(item, list) fine = fine && cJSON_IsNumber(item);
    if (fine) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be a list of numbers", schedule->class->name,
                    argument);
}

static cnn_status piecewise_check(const cnn_schedule *schedule) {
    const piecewise_decay *s = (const piecewise_decay *)schedule;
    CNN_TRY(numbers(schedule, "boundaries", s->boundaries));
    CNN_TRY(numbers(schedule, "values", s->values));
    int boundaries = cJSON_GetArraySize(s->boundaries), values = cJSON_GetArraySize(s->values);
    if (values != boundaries + 1)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'values' must be one longer than 'boundaries', got %d and %d",
                        schedule->class->name, values, boundaries);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, s->boundaries) if (
        item->next && item->next->valuedouble <
                          item->valuedouble) return cnn_fail(CNN_ERROR_ARGUMENT,
                                                             "%s: 'boundaries' must rise, got %g after %g",
                                                             schedule->class->name, item->next->valuedouble,
                                                             item->valuedouble);
    return CNN_OK;
}

static double piecewise_rate(const cnn_schedule *schedule, int64_t iterations) {
    const piecewise_decay *s = (const piecewise_decay *)schedule;
    const cJSON *boundary = s->boundaries->child, *value = s->values->child;
    for (; boundary && (double)iterations > boundary->valuedouble; boundary = boundary->next)
        value = value->next;
    return value->valuedouble;
}

/*** The learning rate keeps values[1] up to step boundaries[1], values[2] up to boundaries[2], and so on.
There is one value more than boundaries. Given to an optimizer as its learning_rate; a step is a batch.
@class cnn.optimizers.schedules.PiecewiseConstantDecay
@raise values that are not one more than boundaries; boundaries that do not rise
@usage
schedule = cnn.optimizers.schedules.PiecewiseConstantDecay{{1, 3}, {0.1, 0.01, 0.001}}
sgd, w, g = cnn.optimizers.SGD{schedule}, cnn.zeros{1}, cnn.ones{1}
for step = 1, 4 do sgd:apply_gradients({g}, {w}) print(sgd.learning_rate) end
--> 0.1
--> 0.01
--> 0.01
--> 0.001
*/
static const cnn_schedule_class piecewise_class = {.class = CNN_CLASS("learning rate schedule",
                                                                      "PiecewiseConstantDecay", NULL,
                                                                      piecewise_decay, piecewise_params),
                                                   .check = piecewise_check,
                                                   .rate = piecewise_rate};

/* ---- all of them -----------------------------------------------------------------------------------------
 */

const cnn_class *const cnn_schedules[] = {&exponential_class.class, &cosine_class.class,
                                          &piecewise_class.class, NULL};

static const cnn_schedule_class *class_of(const cnn_schedule *schedule) {
    return (const cnn_schedule_class *)schedule->class;
}

cnn_status cnn_schedule_new(cnn_schedule **out, const cJSON *spec) {
    void *made;
    CNN_TRY(cnn_object_from(&made, cnn_schedules, spec));
    cnn_schedule *schedule = made;
    cnn_status status = class_of(schedule)->check ? class_of(schedule)->check(schedule) : CNN_OK;
    if (status != CNN_OK)
        cnn_schedule_free(schedule);
    else
        *out = schedule;
    return status;
}

void cnn_schedule_free(cnn_schedule *schedule) {
    cnn_object_free(schedule);
}

double cnn_schedule_rate(const cnn_schedule *schedule, int64_t iterations) {
    return class_of(schedule)->rate(schedule, iterations);
}
