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
    for (int i = 0; i < CNN_MAX_METRICS; i++) cnn_metric_free(state->metrics[i]);
    *state = (cnn_metric_state){0};
}

static void free_trainer(cnn_trainer *t) {
    for (int i = 0; i < t->plan_count; i++) free_plan(&t->plans[i]);
    cnn_optimizer_free(t->optimizer);
    cnn_object_free(t->loss);
    for (int i = 0; i < t->metric_count; i++) {
        cJSON_Delete(t->metric_specs[i]);
        cnn_free(t->metric_names[i]);
    }
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
    if (model->trainer) model->trainer->weights++;
}

/* ---- compile ------------------------------------------------------------------------------------------- */

/* "accuracy" is called so; an object by its config's name, else by its class. */
static char *metric_name(const cJSON *spec) {
    if (cJSON_IsString(spec)) return cnn_strdup(spec->valuestring);
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(spec, "config");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(config, "name");
    if (cJSON_IsString(name)) return cnn_strdup(name->valuestring);
    const cJSON *class = cJSON_GetObjectItemCaseSensitive(spec, "class_name");
    char snake[64] = "metric";
    if (cJSON_IsString(class)) cnn_snake_case(snake, sizeof snake, class->valuestring);
    return cnn_strdup(snake);
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

static cnn_status read_metric(cnn_trainer *t, const cJSON *spec) {
    if (t->metric_count == CNN_MAX_METRICS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "at most %d metrics", CNN_MAX_METRICS);
    CNN_TRY(check_metric(spec));
    int i = t->metric_count++;
    t->metric_specs[i] = cJSON_Duplicate(spec, true);
    t->metric_names[i] = metric_name(spec);
    return t->metric_specs[i] && t->metric_names[i] ? CNN_OK : cnn_fail_memory(64);
}

/* A list, or a lone one. */
static cnn_status read_metrics(cnn_trainer *t, const cJSON *list) {
    if (!list || cJSON_IsNull(list)) return CNN_OK;
    if (!cJSON_IsArray(list)) return read_metric(t, list);
    const cJSON *spec;
    cJSON_ArrayForEach(spec, list) CNN_TRY(read_metric(t, spec));
    return CNN_OK;
}

static cnn_status check_arguments(const cJSON *config) {
    static const char *const known[] = {"optimizer", "loss", "metrics", NULL};
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

static cnn_status fill_trainer(cnn_trainer *t, const cJSON *config) {
    CNN_TRY(check_arguments(config));
    const cJSON *optimizer = cJSON_GetObjectItemCaseSensitive(config, "optimizer");
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(config, "loss");
    cJSON *fallback = optimizer ? NULL : cJSON_CreateString("rmsprop"); /* Keras's default */
    cnn_status status = cnn_optimizer_new(&t->optimizer, optimizer ? optimizer : fallback);
    cJSON_Delete(fallback);
    CNN_TRY(status);
    if (!loss) return cnn_fail(CNN_ERROR_ARGUMENT, "missing argument 'loss'");
    CNN_TRY(cnn_object_from(&t->loss, (const cnn_class *const *)cnn_losses, loss));
    return read_metrics(t, cJSON_GetObjectItemCaseSensitive(config, "metrics"));
}

cnn_status cnn_model_compile(cnn_model *model, const char *text) {
    cJSON *config;
    CNN_TRY(cnn_model_expect_idle(model, "compile"));
    CNN_TRY(cnn_json_parse(&config, "compile", text));
    cnn_trainer *t = cnn_calloc(sizeof *t);
    cnn_status status = t ? fill_trainer(t, config) : cnn_fail_memory(sizeof *t);
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
    return model->trainer && model->trainer->optimizer ? 1 + model->trainer->metric_count : 0;
}

const char *cnn_model_metric_name(const cnn_model *model, int index) {
    if (index < 0 || index >= cnn_model_metric_count(model)) return NULL;
    return index == 0 ? "loss" : model->trainer->metric_names[index - 1];
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

/* Changes when anything that a plan is compiled from does. */
static uint64_t signature(const cnn_model *model, const cnn_tensor *label) {
    uint64_t hash = mix(model->version, label ? 1 + (uint64_t)label->dtype * 16 + (uint64_t)label->rank : 0);
    for (int i = 1; label && i < label->rank; i++) hash = mix(hash, (uint64_t)label->shape[i]);
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
    cnn_plan_loss loss = {.label = batch->label};
    if (mode != CNN_MODE_PREDICT) {
        loss.op = (const cnn_op *)((const cnn_object *)model->trainer->loss)->class;
        loss.attributes = model->trainer->loss;
        o.losses = &loss;
        o.n_losses = 1;
    }
    return cnn_plan_new(out, &o);
}

static const cnn_variable *variable_of(const cnn_model *model, const cnn_tensor *value) {
    for (int i = 0; i < model->layer.variable_count; i++)
        if (model->layer.variables[i]->value == value) return model->layer.variables[i];
    return NULL;
}

/* The plan with the memory that a step needs around it. */
static cnn_status fill_slot(cnn_cached_plan *c, const cnn_model *model, const cnn_batch *batch) {
    CNN_TRY(make_plan(&c->plan, model, c->mode, batch));
    int count = cnn_plan_variable_count(c->plan);
    c->seeds = cnn_malloc((size_t)batch->count * sizeof *c->seeds);
    c->updates = cnn_malloc((size_t)count * sizeof *c->updates);
    if (!c->seeds || !c->updates) return cnn_fail_memory((size_t)batch->count * sizeof *c->seeds);
    for (int i = 0; i < count; i++) {
        cnn_tensor *value = cnn_plan_variable(c->plan, i);
        const cnn_variable *v = variable_of(model, value);
        c->updates[i] = (cnn_update){.weights = cnn_f32(value),
                                     .gradient = cnn_plan_gradient(c->plan, i),
                                     .size = value->size,
                                     .l1 = v ? v->l1 : 0,
                                     .l2 = v ? v->l2 : 0};
    }
    return CNN_OK;
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
    uint64_t wanted = signature(model, mode == CNN_MODE_PREDICT ? NULL : batch->label);
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
                             .weights_seen = UINT64_MAX};
    cnn_status status = fill_slot(&fresh, model, batch);
    if (status != CNN_OK) {
        free_plan(&fresh);
        return status;
    }
    *out = free_slot(t);
    **out = fresh;
    return CNN_OK;
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

cnn_status cnn_trainer_run(cnn_model *model, cnn_mode mode, const cnn_batch *batch, double *loss,
                           const cnn_tensor **output) {
    cnn_trainer *t = model->trainer;
    cnn_cached_plan *cached;
    CNN_TRY(find_plan(&cached, model, mode, batch));

    for (int64_t i = 0; i < batch->count; i++)
        cached->seeds[i] = (batch->weight ? batch->weight[i] : 1) / (float)batch->count;
    const float *seeds = cached->seeds;
    cnn_plan_feed feed = {.inputs = &batch->x,
                          .labels = &batch->y,
                          .seeds = &seeds,
                          .step = t->seed + (t->optimizer ? (uint64_t)t->optimizer->iterations : 0),
                          .weights_changed = cached->weights_seen != t->weights};
    cnn_status status = cnn_plan_run(cached->plan, &feed);
    cached->weights_seen = t->weights;
    if (status == CNN_OK && mode != CNN_MODE_PREDICT) {
        const float *values = cnn_plan_loss_values(cached->plan, 0);
        double total = 0;
        for (int64_t i = 0; i < batch->count; i++)
            total += (double)values[i] * (batch->weight ? (double)batch->weight[i] : 1);
        *loss = total / (double)batch->count + regularization(model);
    }
    CNN_TRY(status);
    *output = cnn_plan_output(cached->plan, 0);
    if (mode != CNN_MODE_TRAIN) return CNN_OK;
    t->weights++;
    return cnn_optimizer_step(t->optimizer, cached->updates, cnn_plan_variable_count(cached->plan));
}

/* ---- metrics ------------------------------------------------------------------------------------------- */

/* Which kind of accuracy is meant depends on the labels, so metrics are made when labels come. */
static cnn_status make_metrics(cnn_model *model, const cnn_tensor *label) {
    cnn_trainer *t = model->trainer;
    cnn_metric_state *m = &t->measured;
    int64_t last = label->rank > 1 ? label->shape[label->rank - 1] : 1;
    if (m->label_rank != label->rank || m->label_size != last) free_metrics(m);
    for (int i = 0; i < t->metric_count; i++)
        if (!m->metrics[i])
            CNN_TRY(cnn_metric_new(&m->metrics[i], t->metric_specs[i], model->outputs[0], label));
    m->label_rank = label->rank;
    m->label_size = last;
    return CNN_OK;
}

cnn_status cnn_trainer_reset_metrics(cnn_model *model, const cnn_tensor *label) {
    CNN_TRY(make_metrics(model, label));
    for (int i = 0; i < model->trainer->metric_count; i++)
        cnn_metric_reset(model->trainer->measured.metrics[i]);
    return CNN_OK;
}

cnn_status cnn_trainer_update_metrics(cnn_model *model, const cnn_batch *batch, const cnn_tensor *output) {
    int64_t shape[CNN_MAX_RANK];
    for (int i = 0; i < batch->label->rank; i++) shape[i] = i == 0 ? batch->count : batch->label->shape[i];
    cnn_tensor label = cnn_tensor_wrap(batch->label->dtype, batch->label->rank, shape, (void *)batch->y);
    for (int i = 0; i < model->trainer->metric_count; i++)
        CNN_TRY(cnn_metric_update(model->trainer->measured.metrics[i], &label, output, NULL));
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
