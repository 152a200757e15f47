#include "train/trainer.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

/* ---- life ---------------------------------------------------------------------------------------------- */

static void free_plan(cnn_cached_plan *c) {
    cnn_plan_free(c->plan);
    cnn_free(c->seeds);
    cnn_free(c->updates);
}

static void free_metrics(cnn_metric_state *state) {
    for (int i = 0; i < CNN_MAX_FIGURES; i++) cnn_metric_free(state->metrics[i]);
    *state = (cnn_metric_state){0};
}

static void free_trainer(cnn_trainer *t) {
    for (int i = 0; i < t->plan_count; i++) free_plan(&t->plans[i]);
    cnn_optimizer_free(t->optimizer);
    for (int i = 0; i < t->target_count; i++) {
        cnn_free(t->targets[i].name);
        cnn_object_free(t->targets[i].loss);
    }
    for (int i = 0; i < t->metric_count; i++) cJSON_Delete(t->metric_specs[i]);
    for (int i = 0; i < t->figure_count; i++) cnn_free(t->figure_names[i]);
    free_metrics(&t->measured);
    cnn_free(t);
}

cnn_status cnn_trainer_of(cnn_trainer **out, cnn_model *model) {
    if (!model->trainer) {
        model->trainer = cnn_calloc(sizeof *model->trainer);
        if (!model->trainer) return cnn_fail_memory(sizeof *model->trainer);
        model->trainer->seed = cnn_random_bits(cnn_default_random());
        model->free_trainer = free_trainer;
    }
    *out = model->trainer;
    return CNN_OK;
}

cnn_status cnn_trainer_expect_compiled(const cnn_model *model, const char *who) {
    if (model->trainer && model->trainer->optimizer) return CNN_OK;
    return cnn_fail(CNN_ERROR_STATE,
                    "%s: model '%s' must be compiled first (model:compile{optimizer = …, loss = …})", who,
                    model->layer.name);
}

void cnn_trainer_touch_weights(cnn_model *model) {
    if (model->trainer) model->trainer->doubts++;
}

/* ---- what is given for each output --------------------------------------------------------------------- */

/* An object that is no spec of a class goes by names. */
static bool by_name(const cJSON *value) {
    return cJSON_IsObject(value) && !cJSON_GetObjectItemCaseSensitive(value, "class_name");
}

static cnn_status unknown_output(const cnn_trainer *t, const char *argument, const char *name) {
    const char *names[CNN_MAX_FIGURES + 1] = {NULL};
    for (int i = 0; i < t->target_count; i++) names[i] = t->targets[i].name;
    const char *nearest = cnn_nearest(name, names);
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    nearest ? "'%s': there is no output '%s' (did you mean '%s'?)"
                            : "'%s': there is no output '%s'; outputs go by the names of their layers",
                    argument, name, nearest);
}

/* That a list has an item for each output, and an object only names of outputs. */
static cnn_status check_outputs(const cnn_trainer *t, const char *argument, const cJSON *value) {
    if (cJSON_IsArray(value) && cJSON_GetArraySize(value) != t->target_count)
        return cnn_fail(CNN_ERROR_ARGUMENT, "'%s' has %d item%s for %d output%s", argument,
                        cJSON_GetArraySize(value), cJSON_GetArraySize(value) == 1 ? "" : "s", t->target_count,
                        t->target_count == 1 ? "" : "s");
    if (!by_name(value)) return CNN_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        int i = 0;
        while (i < t->target_count && strcmp(t->targets[i].name, item->string) != 0) i++;
        if (i == t->target_count) return unknown_output(t, argument, item->string);
    }
    return CNN_OK;
}

/* What is given for the output: by position, by name, or the one for all. NULL if nothing is. */
static const cJSON *for_output(const cnn_trainer *t, const cJSON *value, int output) {
    const cJSON *item = value;
    if (cJSON_IsArray(value)) item = cJSON_GetArrayItem(value, output);
    if (by_name(value)) item = cJSON_GetObjectItemCaseSensitive(value, t->targets[output].name);
    return cJSON_IsNull(item) ? NULL : item;
}

/* ---- compile ------------------------------------------------------------------------------------------- */

/* Keras 2's names: of several outputs, a figure of one begins with the output's name. */
static cnn_status add_figure(cnn_trainer *t, const char *output, const char *name) {
    if (t->figure_count == CNN_MAX_FIGURES)
        return cnn_fail(CNN_ERROR_ARGUMENT, "at most %d losses and metrics in all", CNN_MAX_FIGURES);
    size_t bytes = (output ? strlen(output) + 1 : 0) + strlen(name) + 1;
    char *text = cnn_malloc(bytes);
    if (!text) return cnn_fail_memory(bytes);
    snprintf(text, bytes, "%s%s%s", output ? output : "", output ? "_" : "", name);
    t->figure_names[t->figure_count++] = text;
    return CNN_OK;
}

/* "accuracy" is called so; an object by its config's name, else by its class. */
static const char *metric_name(const cJSON *spec, char *snake, size_t capacity) {
    if (cJSON_IsString(spec)) return spec->valuestring;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(spec, "config");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(config, "name");
    if (cJSON_IsString(name)) return name->valuestring;
    const cJSON *class = cJSON_GetObjectItemCaseSensitive(spec, "class_name");
    cnn_snake_case(snake, capacity, cJSON_IsString(class) ? class->valuestring : "metric");
    return snake;
}

static cnn_status check_metric(const cJSON *spec) {
    if (cJSON_IsString(spec)) {
        const cnn_class *class;
        return cnn_class_find(&class, cnn_metrics, spec->valuestring);
    }
    void *object;
    CNN_TRY(cnn_object_from(&object, cnn_metrics, spec));
    cnn_object_free(object);
    return CNN_OK;
}

static cnn_status read_metric(cnn_trainer *t, const cJSON *spec, int output) {
    char snake[64];
    CNN_TRY(check_metric(spec));
    CNN_TRY(add_figure(t, t->target_count > 1 ? t->targets[output].name : NULL,
                       metric_name(spec, snake, sizeof snake)));
    int i = t->metric_count++;
    t->metric_outputs[i] = output;
    t->metric_specs[i] = cJSON_Duplicate(spec, true);
    return t->metric_specs[i] ? CNN_OK : cnn_fail_memory(64);
}

/* A list, or a lone one. */
static cnn_status read_output_metrics(cnn_trainer *t, const cJSON *list, int output) {
    if (!list) return CNN_OK;
    if (!cJSON_IsArray(list)) return read_metric(t, list, output);
    const cJSON *spec;
    cJSON_ArrayForEach(spec, list) CNN_TRY(read_metric(t, spec, output));
    return CNN_OK;
}

/* A list that has lists in it goes by outputs; another is for all of them. */
static cnn_status read_metrics(cnn_trainer *t, const cJSON *metrics) {
    bool by_output = by_name(metrics);
    const cJSON *item;
    if (!metrics || cJSON_IsNull(metrics)) return CNN_OK;
    if (cJSON_IsArray(metrics)) cJSON_ArrayForEach(item, metrics) by_output |= cJSON_IsArray(item);
    if (by_output) CNN_TRY(check_outputs(t, "metrics", metrics));
    for (int i = 0; i < t->target_count; i++)
        CNN_TRY(read_output_metrics(t, by_output ? for_output(t, metrics, i) : metrics, i));
    return CNN_OK;
}

static cnn_status read_targets(cnn_trainer *t, const cnn_model *model) {
    int count = model->n_outputs > 0 ? model->n_outputs : 1;
    if (count >= CNN_MAX_FIGURES)
        return cnn_fail(CNN_ERROR_ARGUMENT, "at most %d outputs can be trained, '%s' has %d",
                        CNN_MAX_FIGURES - 1, model->layer.name, count);
    for (; t->target_count < count; t->target_count++) {
        char name[CNN_NAME_TEXT];
        cnn_target *target = &t->targets[t->target_count];
        target->name = cnn_strdup(cnn_model_output_name(name, sizeof name, model, t->target_count));
        if (!target->name) return cnn_fail_memory(sizeof name);
        target->weight = 1;
    }
    return CNN_OK;
}

static cnn_status read_losses(cnn_trainer *t, const cJSON *losses) {
    if (!losses) return cnn_fail(CNN_ERROR_ARGUMENT, "missing argument 'loss'");
    CNN_TRY(check_outputs(t, "loss", losses));
    CNN_TRY(add_figure(t, NULL, "loss"));
    for (int i = 0; i < t->target_count; i++) {
        const cJSON *loss = for_output(t, losses, i);
        if (!loss)
            return cnn_fail(CNN_ERROR_ARGUMENT, "'loss': there is none for output '%s'", t->targets[i].name);
        CNN_TRY(cnn_object_from(&t->targets[i].loss, (const cnn_class *const *)cnn_losses, loss));
        if (t->target_count > 1) CNN_TRY(add_figure(t, t->targets[i].name, "loss"));
    }
    return CNN_OK;
}

static cnn_status read_loss_weights(cnn_trainer *t, const cJSON *weights) {
    if (!weights || cJSON_IsNull(weights)) return CNN_OK;
    if (!cJSON_IsArray(weights) && !by_name(weights))
        return cnn_fail(CNN_ERROR_ARGUMENT, "'loss_weights' must be a list of numbers, or numbers by the "
                                            "names of outputs");
    CNN_TRY(check_outputs(t, "loss_weights", weights));
    for (int i = 0; i < t->target_count; i++) {
        const cJSON *weight = for_output(t, weights, i);
        if (!weight) continue;
        if (!cJSON_IsNumber(weight))
            return cnn_fail(CNN_ERROR_ARGUMENT, "'loss_weights': that of output '%s' is no number",
                            t->targets[i].name);
        t->targets[i].weight = weight->valuedouble;
    }
    return CNN_OK;
}

static cnn_status check_arguments(const cJSON *config) {
    static const char *const known[] = {"optimizer", "loss", "metrics", "loss_weights", NULL};
    const cJSON *item;
    cJSON_ArrayForEach(item, config) {
        int i = 0;
        while (known[i] && strcmp(known[i], item->string) != 0) i++;
        if (known[i]) continue;
        const char *nearest = cnn_nearest(item->string, known);
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        nearest ? "unknown argument '%s' (did you mean '%s'?)" : "unknown argument '%s'",
                        item->string, nearest);
    }
    return CNN_OK;
}

static cnn_status fill_trainer(cnn_trainer *t, const cnn_model *model, const cJSON *config) {
    CNN_TRY(check_arguments(config));
    const cJSON *optimizer = cJSON_GetObjectItemCaseSensitive(config, "optimizer");
    cJSON *fallback = optimizer ? NULL : cJSON_CreateString("rmsprop"); /* Keras's default */
    cnn_status status = cnn_optimizer_new(&t->optimizer, optimizer ? optimizer : fallback);
    cJSON_Delete(fallback);
    CNN_TRY(status);
    CNN_TRY(read_targets(t, model));
    CNN_TRY(read_losses(t, cJSON_GetObjectItemCaseSensitive(config, "loss")));
    CNN_TRY(read_loss_weights(t, cJSON_GetObjectItemCaseSensitive(config, "loss_weights")));
    return read_metrics(t, cJSON_GetObjectItemCaseSensitive(config, "metrics"));
}

cnn_status cnn_model_compile(cnn_model *model, const char *text) {
    cJSON *config;
    CNN_TRY(cnn_model_expect_idle(model, "compile"));
    CNN_TRY(cnn_json_parse(&config, "compile", text));
    cnn_trainer *t = cnn_calloc(sizeof *t);
    cnn_status status = t ? fill_trainer(t, model, config) : cnn_fail_memory(sizeof *t);
    cJSON_Delete(config);
    if (status != CNN_OK) {
        if (t) free_trainer(t);
        return cnn_fail_in(status, "compile");
    }
    t->seed = cnn_random_bits(cnn_default_random());
    if (model->trainer) model->free_trainer(model->trainer);
    model->trainer = t;
    model->free_trainer = free_trainer;
    return CNN_OK;
}

int cnn_model_metric_count(const cnn_model *model) {
    return model->trainer && model->trainer->optimizer ? model->trainer->figure_count : 0;
}

const char *cnn_model_metric_name(const cnn_model *model, int index) {
    if (index < 0 || index >= cnn_model_metric_count(model)) return NULL;
    return model->trainer->figure_names[index];
}

/* ---- plans --------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* The layers' own flags, of models within too: some ops compute otherwise in a layer that is not trainable. */
static uint64_t mix_trainable(uint64_t hash, const cnn_layer *layer) {
    hash = mix(hash, layer->trainable);
    if (layer->class != &cnn_sequential_class.class && layer->class != &cnn_functional_class.class)
        return hash;
    const cnn_model *model = (const cnn_model *)layer;
    for (int i = 0; i < model->layer_count; i++) hash = mix_trainable(hash, model->layers[i]);
    return hash;
}

static uint64_t mix_label(uint64_t hash, const cnn_tensor *label) {
    hash = mix(hash, 1 + (uint64_t)label->dtype * 16 + (uint64_t)label->rank);
    for (int i = 1; i < label->rank; i++) hash = mix(hash, (uint64_t)label->shape[i]);
    return hash;
}

/* Changes when anything that a plan is compiled from does. labels: NULL where there are none. */
static uint64_t signature(const cnn_model *model, cnn_tensor *const *labels) {
    uint64_t hash = model->version;
    for (int i = 0; labels && i < model->n_outputs; i++) hash = mix_label(hash, labels[i]);
    hash = mix(hash, (uint64_t)(uintptr_t)cnn_cpu()); /* its kernels have layouts of their own */
    for (int i = 0; i < model->layer.variable_count; i++)
        hash = mix(hash, (uint64_t)(uintptr_t)model->layer.variables[i]->value +
                             model->layer.variables[i]->value->trainable);
    return mix_trainable(hash, &model->layer);
}

static cnn_status make_plan(cnn_plan **out, const cnn_model *model, cnn_mode mode, const cnn_batch *batch) {
    cnn_plan_options o = {.batch = batch->count,
                          .training = mode == CNN_MODE_TRAIN,
                          .gradients = mode == CNN_MODE_TRAIN,
                          .inputs = model->inputs,
                          .n_inputs = model->n_inputs,
                          .outputs = model->outputs,
                          .n_outputs = model->n_outputs};
    cnn_plan_loss losses[CNN_MAX_FIGURES];
    for (int i = 0; mode != CNN_MODE_PREDICT && i < model->n_outputs; i++) {
        const cnn_object *loss = model->trainer->targets[i].loss;
        losses[i] = (cnn_plan_loss){
            .output = i, .op = (const cnn_op *)loss->class, .attributes = loss, .label = batch->labels[i]};
        o.losses = losses;
        o.n_losses = i + 1;
    }
    return cnn_plan_new(out, &o);
}

static float *gradient_of(const cnn_plan *plan, const cnn_tensor *value) {
    for (int i = 0; plan && i < cnn_plan_variable_count(plan); i++)
        if (cnn_plan_variable(plan, i) == value) return cnn_plan_gradient(plan, i);
    return NULL;
}

static bool among(const cnn_update *updates, int count, const float *weights) {
    for (int i = 0; i < count; i++)
        if (updates[i].weights == weights) return true;
    return false;
}

/* What a step changes: the model's trainable variables in their order, in which the optimizer's state is kept and saved,
 * then variables of the plan outside of all layers. Without a plan, no gradients. */
static cnn_status new_updates(cnn_update **out, int *count, const cnn_model *model, const cnn_plan *plan) {
    int own = model->layer.variable_count, most = own + (plan ? cnn_plan_variable_count(plan) : 0), n = 0;
    cnn_update *updates = cnn_malloc((size_t)most * sizeof *updates);
    if (!updates) return cnn_fail_memory((size_t)most * sizeof *updates);
    for (int i = 0; i < own; i++) {
        const cnn_variable *v = model->layer.variables[i];
        if (!v->value->trainable) continue;
        updates[n++] = (cnn_update){.weights = cnn_f32(v->value),
                                    .gradient = gradient_of(plan, v->value),
                                    .size = v->value->size,
                                    .l1 = v->l1,
                                    .l2 = v->l2};
    }
    for (int i = 0; i < most - own; i++) {
        const cnn_tensor *value = cnn_plan_variable(plan, i);
        if (among(updates, n, cnn_f32(value))) continue;
        updates[n++] = (cnn_update){
            .weights = cnn_f32(value), .gradient = cnn_plan_gradient(plan, i), .size = value->size};
    }
    *out = updates;
    *count = n;
    return CNN_OK;
}

/* The plan with the memory that a step needs around it. */
static cnn_status fill_slot(cnn_cached_plan *c, const cnn_model *model, const cnn_batch *batch) {
    CNN_TRY(make_plan(&c->plan, model, c->mode, batch));
    size_t seed_bytes = (size_t)model->n_outputs * (size_t)batch->count * sizeof *c->seeds;
    if (!(c->seeds = cnn_malloc(seed_bytes))) return cnn_fail_memory(seed_bytes);
    return new_updates(&c->updates, &c->update_count, model, c->plan);
}

cnn_status cnn_trainer_build_optimizer(cnn_model *model) {
    cnn_update *updates = NULL;
    int count = 0;
    CNN_TRY(new_updates(&updates, &count, model, NULL));
    cnn_status status = cnn_optimizer_build(model->trainer->optimizer, updates, count);
    cnn_free(updates);
    return status;
}

/* The least recently used goes when there are too many. */
static cnn_cached_plan *free_slot(cnn_trainer *t) {
    if (t->plan_count < CNN_MAX_PLANS) return &t->plans[t->plan_count++];
    cnn_cached_plan *oldest = &t->plans[0];
    for (int i = 1; i < t->plan_count; i++)
        if (t->plans[i].last_use < oldest->last_use) oldest = &t->plans[i];
    free_plan(oldest);
    return oldest;
}

static cnn_status find_plan(cnn_cached_plan **out, cnn_model *model, cnn_mode mode, const cnn_batch *batch) {
    cnn_trainer *t = model->trainer;
    uint64_t wanted = signature(model, mode == CNN_MODE_PREDICT ? NULL : batch->labels);
    for (int i = 0; i < t->plan_count; i++) {
        cnn_cached_plan *c = &t->plans[i];
        if (c->mode != mode || c->batch != batch->count || c->signature != wanted) continue;
        c->last_use = ++t->clock;
        *out = c;
        return CNN_OK;
    }
    cnn_cached_plan fresh = {.mode = mode,
                             .batch = batch->count,
                             .signature = wanted,
                             .last_use = ++t->clock,
                             .doubts_seen = UINT64_MAX};
    cnn_status status = fill_slot(&fresh, model, batch);
    if (status != CNN_OK) {
        free_plan(&fresh);
        return status;
    }
    *out = free_slot(t);
    **out = fresh;
    return CNN_OK;
}

cnn_plan *cnn_trainer_last_plan(const cnn_model *model) {
    const cnn_trainer *t = model->trainer;
    for (int i = 0; t && i < t->plan_count; i++)
        if (t->plans[i].last_use == t->clock) return t->plans[i].plan;
    return NULL;
}

/* ---- a step -------------------------------------------------------------------------------------------- */

static double regularization(const cnn_model *model) {
    double total = 0;
    for (int i = 0; i < model->layer.variable_count; i++) {
        const cnn_variable *v = model->layer.variables[i];
        if ((v->l1 == 0 && v->l2 == 0) || !v->value->trainable) continue;
        const float *w = cnn_f32(v->value);
        double l1 = 0, l2 = 0;
        for (int64_t k = 0; k < v->value->size; k++) {
            l1 += fabs((double)w[k]);
            l2 += (double)w[k] * (double)w[k];
        }
        total += v->l1 * l1 + v->l2 * l2;
    }
    return total;
}

/* The derivative of the total by each sample's loss at an output. */
static const float *fill_seeds(float *seeds, const cnn_batch *batch, int output, double loss_weight) {
    const float *weight = batch->weight[output], scale = (float)loss_weight, count = (float)batch->count;
    if (weight)
        for (int64_t i = 0; i < batch->count; i++) seeds[i] = weight[i] * scale / count;
    else
        for (int64_t i = 0; i < batch->count; i++) seeds[i] = scale / count;
    return seeds;
}

static double mean_loss(const float *values, const cnn_batch *batch, int output) {
    const float *weight = batch->weight[output];
    double total = 0;
    for (int64_t i = 0; i < batch->count; i++) total += (double)values[i] * (weight ? (double)weight[i] : 1);
    return total / (double)batch->count;
}

static void read_out_losses(const cnn_model *model, const cnn_plan *plan, const cnn_batch *batch,
                            double *losses) {
    losses[0] = 0;
    for (int i = 0; i < model->n_outputs; i++) {
        losses[1 + i] = mean_loss(cnn_plan_loss_values(plan, i), batch, i);
        losses[0] += model->trainer->targets[i].weight * losses[1 + i];
    }
    losses[0] += regularization(model);
}

cnn_status cnn_trainer_run(cnn_model *model, cnn_mode mode, const cnn_batch *batch, double *losses,
                           const cnn_tensor **outputs) {
    cnn_trainer *t = model->trainer;
    cnn_cached_plan *cached;
    CNN_TRY(find_plan(&cached, model, mode, batch));

    const float *seeds[CNN_MAX_FIGURES];
    for (int i = 0; mode == CNN_MODE_TRAIN && i < model->n_outputs; i++)
        seeds[i] = fill_seeds(cached->seeds + i * batch->count, batch, i, t->targets[i].weight);
    cnn_plan_feed feed = {.inputs = batch->x,
                          .labels = batch->y,
                          .seeds = seeds,
                          .step = t->seed + (t->optimizer ? (uint64_t)t->optimizer->iterations : 0),
                          .weights_changed = cached->steps_seen != t->steps,
                          .weights_doubtful = cached->doubts_seen != t->doubts};
    cnn_status status = cnn_plan_run(cached->plan, &feed);
    cached->steps_seen = t->steps;
    cached->doubts_seen = t->doubts;
    CNN_TRY(status);
    if (mode != CNN_MODE_PREDICT) read_out_losses(model, cached->plan, batch, losses);
    for (int i = 0; i < model->n_outputs; i++) outputs[i] = cnn_plan_output(cached->plan, i);
    if (mode != CNN_MODE_TRAIN) return CNN_OK;
    t->steps++;
    return cnn_optimizer_step(t->optimizer, cached->updates, cached->update_count);
}

/* ---- metrics ------------------------------------------------------------------------------------------- */

/* Which kind of accuracy is meant depends on the labels, so metrics are made when labels come. */
static cnn_status make_metric(cnn_model *model, int index, const cnn_tensor *label) {
    const cnn_trainer *t = model->trainer;
    cnn_metric_state *m = &model->trainer->measured;
    int64_t last = label->rank > 1 ? label->shape[label->rank - 1] : 1;
    if (m->metrics[index] && m->label_ranks[index] == label->rank && m->label_sizes[index] == last)
        return CNN_OK;
    cnn_metric_free(m->metrics[index]);
    m->metrics[index] = NULL;
    CNN_TRY(cnn_metric_new(&m->metrics[index], t->metric_specs[index],
                           model->outputs[t->metric_outputs[index]], label));
    m->label_ranks[index] = label->rank;
    m->label_sizes[index] = last;
    return CNN_OK;
}

cnn_status cnn_trainer_reset_metrics(cnn_model *model, cnn_tensor *const *labels) {
    const cnn_trainer *t = model->trainer;
    for (int i = 0; i < t->metric_count; i++) {
        CNN_TRY(make_metric(model, i, labels[t->metric_outputs[i]]));
        cnn_metric_reset(t->measured.metrics[i]);
    }
    return CNN_OK;
}

static cnn_status update_metric(cnn_metric *metric, const cnn_batch *batch, int output,
                                const cnn_tensor *prediction) {
    const cnn_tensor *given = batch->labels[output];
    int64_t shape[CNN_MAX_RANK];
    for (int i = 0; i < given->rank; i++) shape[i] = i == 0 ? batch->count : given->shape[i];
    cnn_tensor label = cnn_tensor_wrap(given->dtype, given->rank, shape, (void *)batch->y[output]);
    return cnn_metric_update(metric, &label, prediction, NULL);
}

cnn_status cnn_trainer_update_metrics(cnn_model *model, const cnn_batch *batch,
                                      const cnn_tensor *const *outputs) {
    const cnn_trainer *t = model->trainer;
    for (int i = 0; i < t->metric_count; i++) {
        int output = t->metric_outputs[i];
        CNN_TRY(update_metric(t->measured.metrics[i], batch, output, outputs[output]));
    }
    return CNN_OK;
}

void cnn_trainer_take_metrics(cnn_model *model, cnn_metric_state *state) {
    *state = model->trainer->measured;
    model->trainer->measured = (cnn_metric_state){0};
}

void cnn_trainer_give_metrics(cnn_model *model, cnn_metric_state *state) {
    free_metrics(&model->trainer->measured);
    model->trainer->measured = *state;
    *state = (cnn_metric_state){0};
}
