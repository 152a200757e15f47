/* What all optimizers share: their making, their state, and the step.
 *
 * For a step the variables are laid end to end (each begins at a multiple of ALIGN floats) and the whole is
 * cut into tasks of CHUNK floats, so that one large kernel is many tasks and many small biases are one.
 * Within a task regularization, clipping, decay and the update follow one another on memory that stays in the
 * cache: main memory is passed over once. Clipping by norm needs a pass of its own before, whose sums of
 * squares, one for each piece of a variable in a task, are added in their order. So nothing depends on the
 * number of threads.
 *
 * Order and definitions are those of Keras 3 (BaseOptimizer.apply): the gradient, with the regularizer's
 * part, is clipped; weights decay; then comes the update. */
#include "train/optimizer.h"
#include "train/schedule.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "kernels/kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16384, ALIGN = 16, SERIAL_TASKS = 8 };

extern const cnn_optimizer_class cnn_optimizer_sgd, cnn_optimizer_rmsprop, cnn_optimizer_adam,
    cnn_optimizer_adamw, cnn_optimizer_adagrad;

const cnn_class *const cnn_optimizers[] = {&cnn_optimizer_sgd.class,     &cnn_optimizer_rmsprop.class,
                                           &cnn_optimizer_adam.class,    &cnn_optimizer_adamw.class,
                                           &cnn_optimizer_adagrad.class, NULL};

static const cnn_optimizer_class *class_of(const cnn_optimizer *optimizer) {
    return (const cnn_optimizer_class *)optimizer->class;
}

/* ---- making ----------------------------------------------------------------------------------------------
 */

/* Arguments of Keras's that saved models carry and that are nothing new at these values. */
typedef struct neutral_argument {
    const char *name, *values; /* separated by spaces; NULL: any, as it only counts beside another one */
} neutral_argument;

static const neutral_argument neutral[] = {{"use_ema", "false"},
                                           {"ema_momentum", NULL},
                                           {"ema_overwrite_frequency", NULL},
                                           {"loss_scale_factor", "null 1"},
                                           {"gradient_accumulation_steps", "null 1"},
                                           {"jit_compile", NULL},
                                           {"is_legacy_optimizer", "false"},
                                           {"decay", "0"}};

/* Takes the neutral arguments out of config. */
static cnn_status drop_neutral(const char *who, cJSON *config) {
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++) {
        cJSON *item = cJSON_GetObjectItemCaseSensitive(config, neutral[i].name);
        if (!item) continue;
        char *text = cJSON_PrintUnformatted(item);
        if (!text) return cnn_fail_memory(64);
        char came[40], only[16];
        snprintf(came, sizeof came, "%s", text);
        free(text);
        if (neutral[i].values && cnn_choice_find(neutral[i].values, came) < 0)
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' is not supported: it must be %s, got %s", who,
                            neutral[i].name, cnn_choice_name(neutral[i].values, 0, only, sizeof only), came);
        cJSON_DeleteItemFromObjectCaseSensitive(config, neutral[i].name);
    }
    return CNN_OK;
}

static cnn_status rate_error(const cnn_optimizer *optimizer) {
    return cnn_fail(
        CNN_ERROR_ARGUMENT,
        "%s: 'learning_rate' must be a number, at least 0, or a schedule {\"class_name\", \"config\"}",
        optimizer->class->name);
}

static cnn_status read_rate(cnn_optimizer *optimizer) {
    const cJSON *rate = optimizer->learning_rate;
    if (cJSON_IsObject(rate)) return cnn_schedule_new(&optimizer->schedule, rate);
    if (!cJSON_IsNumber(rate) || !isfinite(rate->valuedouble) || rate->valuedouble < 0)
        return rate_error(optimizer);
    optimizer->rate = rate->valuedouble;
    return CNN_OK;
}

static cnn_status check_clipping(const cnn_optimizer *optimizer) {
    const char *names[] = {"clipnorm", "clipvalue", "global_clipnorm"};
    double values[] = {optimizer->clipnorm, optimizer->clipvalue, optimizer->global_clipnorm};
    const char *first = NULL;
    for (int i = 0; i < 3; i++) {
        if (isnan(values[i])) continue;
        if (first)
            return cnn_fail(
                CNN_ERROR_ARGUMENT,
                "%s: only one of 'clipnorm', 'clipvalue' and 'global_clipnorm' can be set, got '%s' and "
                "'%s'",
                optimizer->class->name, first, names[i]);
        if (!(values[i] > 0))
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be greater than 0, got %g",
                            optimizer->class->name, names[i], values[i]);
        first = names[i];
    }
    return CNN_OK;
}

static cnn_status finish(cnn_optimizer *optimizer) {
    CNN_TRY(read_rate(optimizer));
    return check_clipping(optimizer);
}

/* The same class, its config without the neutral arguments. */
static cnn_status made_from(cnn_optimizer **out, const cJSON *spec) {
    const cJSON *name = cJSON_IsObject(spec) ? cJSON_GetObjectItemCaseSensitive(spec, "class_name") : NULL;
    const cJSON *config = cJSON_IsObject(spec) ? cJSON_GetObjectItemCaseSensitive(spec, "config") : NULL;
    void *made = NULL;
    if (!cJSON_IsString(name) || !cJSON_IsObject(config)) {
        CNN_TRY(cnn_object_from(&made, cnn_optimizers, spec));
        *out = made;
        return CNN_OK;
    }
    const cnn_class *class;
    CNN_TRY(cnn_class_find(&class, cnn_optimizers, name->valuestring));
    cJSON *rest = cJSON_Duplicate(config, true);
    if (!rest) return cnn_fail_memory(64);
    cnn_status status = drop_neutral(class->name, rest);
    if (status == CNN_OK) status = cnn_object_new(&made, class, rest);
    cJSON_Delete(rest);
    if (status == CNN_OK) *out = made;
    return status;
}

cnn_status cnn_optimizer_new(cnn_optimizer **out, const cJSON *spec) {
    cnn_optimizer *optimizer = NULL;
    CNN_TRY(made_from(&optimizer, spec));
    cnn_status status = finish(optimizer);
    if (status != CNN_OK)
        cnn_optimizer_free(optimizer);
    else
        *out = optimizer;
    return status;
}

void cnn_optimizer_forget(cnn_optimizer *optimizer) {
    for (int i = 0; optimizer->slots && i < optimizer->variable_count * class_of(optimizer)->slot_count; i++)
        cnn_free(optimizer->slots[i]);
    cnn_free(optimizer->slots);
    cnn_free(optimizer->sizes);
    cnn_free(optimizer->norms);
    optimizer->slots = NULL;
    optimizer->sizes = NULL;
    optimizer->norms = NULL;
    optimizer->variable_count = 0;
    optimizer->iterations = 0;
}

void cnn_optimizer_free(cnn_optimizer *optimizer) {
    if (!optimizer) return;
    cnn_optimizer_forget(optimizer);
    cnn_schedule_free(optimizer->schedule);
    cnn_object_free(optimizer);
}

cJSON *cnn_optimizer_config(const cnn_optimizer *optimizer) {
    cJSON *config = cnn_object_config(optimizer);
    if (!config || optimizer->schedule) return config;
    cJSON *rate = cJSON_CreateNumber(optimizer->rate);
    if (rate && cJSON_ReplaceItemInObjectCaseSensitive(config, "learning_rate", rate)) return config;
    cJSON_Delete(rate);
    cJSON_Delete(config);
    return NULL;
}

double cnn_optimizer_rate(const cnn_optimizer *optimizer) {
    if (!optimizer->schedule) return optimizer->rate;
    return cnn_schedule_rate(optimizer->schedule, optimizer->iterations);
}

cnn_status cnn_optimizer_set_rate(cnn_optimizer *optimizer, double rate) {
    if (optimizer->schedule)
        return cnn_fail(CNN_ERROR_STATE, "%s: the learning rate cannot be set: the schedule %s sets it",
                        optimizer->class->name, optimizer->schedule->class->name);
    if (!isfinite(rate) || rate < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: the learning rate must be a number, at least 0, got %g",
                        optimizer->class->name, rate);
    optimizer->rate = rate;
    return CNN_OK;
}

/* ---- state -----------------------------------------------------------------------------------------------
 */

bool cnn_optimizer_keeps(const cnn_optimizer *optimizer, int slot, float *start) {
    *start = 0;
    return !class_of(optimizer)->keeps || class_of(optimizer)->keeps(optimizer, slot, start);
}

static cnn_status slot_new(float **out, int64_t size, float start) {
    size_t bytes = (size_t)size * sizeof(float);
    float *slot = cnn_calloc(bytes);
    if (!slot) return cnn_fail_memory(bytes);
    for (int64_t i = 0; start != 0 && i < size; i++) slot[i] = start;
    *out = slot;
    return CNN_OK;
}

static bool clips_by_norm(const cnn_optimizer *optimizer) {
    return !isnan(optimizer->clipnorm) || !isnan(optimizer->global_clipnorm);
}

static int64_t task_count(const cnn_update *updates, int count) {
    int64_t total = 0;
    for (int i = 0; i < count; i++) total += CNN_ROUND_UP(updates[i].size, ALIGN);
    return (total + CHUNK - 1) / CHUNK;
}

static cnn_status build_state(cnn_optimizer *optimizer, const cnn_update *updates, int count) {
    int slot_count = class_of(optimizer)->slot_count;
    size_t sizes_bytes = (size_t)count * sizeof(int64_t);
    size_t slots_bytes = (size_t)count * (size_t)slot_count * sizeof(float *);
    size_t norms_bytes = (size_t)(task_count(updates, count) + 2 * count) * sizeof(double);
    if (!(optimizer->sizes = cnn_calloc(sizes_bytes))) return cnn_fail_memory(sizes_bytes);
    if (!(optimizer->slots = cnn_calloc(slots_bytes))) return cnn_fail_memory(slots_bytes);
    optimizer->variable_count = count;
    if (clips_by_norm(optimizer) && !(optimizer->norms = cnn_calloc(norms_bytes)))
        return cnn_fail_memory(norms_bytes);
    for (int i = 0; i < count; i++) {
        optimizer->sizes[i] = updates[i].size;
        float start;
        for (int slot = 0; slot < slot_count; slot++)
            if (cnn_optimizer_keeps(optimizer, slot, &start))
                CNN_TRY(slot_new(&optimizer->slots[i * slot_count + slot], updates[i].size, start));
    }
    return CNN_OK;
}

cnn_status cnn_optimizer_build(cnn_optimizer *optimizer, const cnn_update *updates, int count) {
    if (!optimizer->sizes) {
        cnn_status status = build_state(optimizer, updates, count);
        if (status != CNN_OK) cnn_optimizer_forget(optimizer);
        return status;
    }
    if (count != optimizer->variable_count)
        return cnn_fail(CNN_ERROR_STATE, "%s: has state for %d variables, got %d; compile the model anew",
                        optimizer->class->name, optimizer->variable_count, count);
    for (int i = 0; i < count; i++)
        if (updates[i].size != optimizer->sizes[i])
            return cnn_fail(CNN_ERROR_STATE,
                            "%s: has state for %" PRId64 " elements of variable %d, got %" PRId64
                            "; compile the model anew",
                            optimizer->class->name, optimizer->sizes[i], i, updates[i].size);
    return CNN_OK;
}

/* ---- the step --------------------------------------------------------------------------------------------
 */

typedef struct step {
    const cnn_optimizer *optimizer;
    const cnn_update *updates;
    int count;
    int64_t tasks;
    double rate;
    double *scales; /* of each variable's gradient; NULL: not clipped by norm */
} step;

/* `size` weights of one variable, from `from` on. piece numbers these in the order of memory, with gaps. */
typedef void piece_body(const step *s, int variable, int64_t from, int64_t size, int64_t piece);

static void each_piece(const step *s, int64_t task, piece_body *body) {
    int64_t from = task * CHUNK, to = from + CHUNK, start = 0;
    for (int i = 0; i < s->count && start < to; i++) {
        int64_t size = s->updates[i].size;
        int64_t first = from > start ? from - start : 0, last = to - start < size ? to - start : size;
        if (first < last && s->updates[i].gradient) body(s, i, first, last - first, task + i);
        start += CNN_ROUND_UP(size, ALIGN);
    }
}

static void regularize(const cnn_update *u, int64_t from, int64_t size) {
    if (u->l1 != 0 || u->l2 != 0)
        cnn_kernel()->regularize(size, u->gradient + from, u->weights + from, u->l1, u->l2);
}

static void measure_piece(const step *s, int variable, int64_t from, int64_t size, int64_t piece) {
    const cnn_update *u = &s->updates[variable];
    regularize(u, from, size);
    s->optimizer->norms[piece] = cnn_kernel()->sum_squares(size, u->gradient + from);
}

static void update_piece(const step *s, int variable, int64_t from, int64_t size, int64_t piece) {
    const cnn_optimizer *o = s->optimizer;
    const cnn_update *u = &s->updates[variable];
    const cnn_kernels *kernel = cnn_kernel();
    int slot_count = class_of(o)->slot_count;
    float *slots[CNN_MAX_SLOTS];
    (void)piece;
    for (int i = 0; i < slot_count; i++) {
        float *slot = o->slots[variable * slot_count + i];
        slots[i] = slot ? slot + from : NULL;
    }
    if (s->scales) {
        float scale = (float)s->scales[variable], *gradient = u->gradient + from;
        if (scale != 1) kernel->affine(scale, 0, gradient, gradient, size);
    } else {
        regularize(u, from, size);
    }
    if (!isnan(o->clipvalue)) kernel->clip(size, u->gradient + from, (float)o->clipvalue);
    if (o->weight_decay > 0) kernel->decay(size, u->weights + from, (float)(s->rate * o->weight_decay));
    class_of(o)->step(o, s->rate, o->iterations + 1, u->weights + from, u->gradient + from, slots, size);
}

static void measure_task(void *context, int64_t task, int thread) {
    (void)thread;
    each_piece(context, task, measure_piece);
}

static void update_task(void *context, int64_t task, int thread) {
    (void)thread;
    each_piece(context, task, update_piece);
}

/* Few tasks are done before another thread has woken up. */
static void run(step *s, cnn_task *body) {
    if (s->tasks > SERIAL_TASKS)
        cnn_parallel(s->tasks, body, s);
    else
        for (int64_t task = 0; task < s->tasks; task++) body(s, task, 0);
}

/* What a gradient of this norm is multiplied with: most / max(norm, most). Not a number when the norm is not.
 */
static double clip_scale(double norm, double most) {
    return norm <= most ? 1 : most / norm;
}

/* From the sums of squares of the pieces to the scales. A norm that overflows in all leaves nothing usable:
 * Keras makes such a gradient NaN, so that it is seen. */
static void find_scales(step *s) {
    const cnn_optimizer *o = s->optimizer;
    double *squares = o->norms, all = 0;
    s->scales = o->norms + s->tasks + s->count;
    int64_t start = 0;
    for (int i = 0; i < s->count; i++) {
        double sum = 0;
        int64_t size = s->updates[i].size, last = (start + size - 1) / CHUNK;
        if (s->updates[i].gradient)
            for (int64_t task = start / CHUNK; size > 0 && task <= last; task++) sum += squares[task + i];
        s->scales[i] = clip_scale(sqrt(sum), o->clipnorm);
        all += sum;
        start += CNN_ROUND_UP(size, ALIGN);
    }
    if (isnan(o->global_clipnorm)) return;
    double scale = isfinite(all) ? clip_scale(sqrt(all), o->global_clipnorm) : NAN;
    for (int i = 0; i < s->count; i++) s->scales[i] = scale;
}

cnn_status cnn_optimizer_step(cnn_optimizer *optimizer, const cnn_update *updates, int count) {
    CNN_TRY(cnn_optimizer_build(optimizer, updates, count));
    step s = {.optimizer = optimizer,
              .updates = updates,
              .count = count,
              .tasks = task_count(updates, count),
              .rate = cnn_optimizer_rate(optimizer)};
    if (clips_by_norm(optimizer)) {
        run(&s, measure_task);
        find_scales(&s);
    }
    run(&s, update_task);
    optimizer->iterations++;
    return CNN_OK;
}
