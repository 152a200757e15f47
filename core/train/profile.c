/* profile: where the time of a training step, or of a prediction, goes.
 *
 * The steps are real ones, so what they change is put away first and brought back afterwards: the weights and the
 * optimizer's state. */
#include "train/trainer.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/kernels.h"

#include <string.h>

static const double wanted_seconds = 0.5;
enum { MOST_RUNS = 1000, PEAK_ROUNDS = 1 << 21 };

/* ---- what is put away ------------------------------------------------------------------------------------ */

typedef struct backup {
    char *bytes, *at;
    size_t size;
    int64_t iterations;
    bool had_state; /* the optimizer had taken a step */
} backup;

typedef void visit_block(backup *b, void *block, size_t bytes);

static void count_bytes(backup *b, void *block, size_t bytes) {
    (void)block;
    b->size += bytes;
}

static void put_away(backup *b, void *block, size_t bytes) {
    memcpy(b->at, block, bytes);
    b->at += bytes;
}

static void bring_back(backup *b, void *block, size_t bytes) {
    memcpy(block, b->at, bytes);
    b->at += bytes;
}

/* Visits all that a step changes. */
static void each_block(backup *b, cnn_model *model, visit_block *visit) {
    const cnn_optimizer *o = model->trainer->optimizer;
    b->at = b->bytes;
    for (int i = 0; i < model->layer.variable_count; i++) {
        const cnn_tensor *value = model->layer.variables[i]->value;
        visit(b, value->data, cnn_tensor_bytes(value));
    }
    if (!b->had_state) return;
    int slots = ((const cnn_optimizer_class *)o->class)->slot_count;
    for (int i = 0; i < slots * o->variable_count; i++)
        if (o->slots[i]) visit(b, o->slots[i], (size_t)o->sizes[i / slots] * sizeof(float));
}

static cnn_status back_up(backup *b, cnn_model *model) {
    const cnn_optimizer *o = model->trainer->optimizer;
    *b = (backup){.iterations = o ? o->iterations : 0, .had_state = o && o->sizes};
    each_block(b, model, count_bytes);
    if (!(b->bytes = cnn_malloc(b->size))) return cnn_fail_memory(b->size);
    each_block(b, model, put_away);
    return CNN_OK;
}

static void restore(backup *b, cnn_model *model) {
    cnn_optimizer *o = model->trainer->optimizer;
    each_block(b, model, bring_back);
    if (o && !b->had_state) cnn_optimizer_forget(o);
    if (o) o->iterations = b->iterations;
    cnn_trainer_touch_weights(model);
    cnn_free(b->bytes);
}

/* ---- the samples ----------------------------------------------------------------------------------------- */

/* The first rows of what was given, as one batch. */
typedef struct first_rows {
    cnn_tensor *x[CNN_MAX_INPUTS], *y[CNN_MAX_INPUTS]; /* retained views */
    cnn_fit_options options;
} first_rows;

static cnn_status view_list(cnn_tensor **views, cnn_tensor_list *out, cnn_tensor_list given, cnn_tensor *one,
                            int64_t rows) {
    cnn_tensor_list list = given.items ? given : (cnn_tensor_list){&one, one ? 1 : 0};
    for (int i = 0; i < list.count && i < CNN_MAX_INPUTS; i++) {
        cnn_tensor *t = list.items[i];
        int64_t most = t->rank > 0 && t->data ? t->shape[0] : 0;
        if (most == 0) return cnn_fail(CNN_ERROR_SHAPE, "an array has no samples");
        CNN_TRY(cnn_view(&views[i], t, 0, rows < most ? rows : most));
        out->items = views;
        out->count = i + 1;
    }
    return CNN_OK;
}

static void release_rows(first_rows *r) {
    for (int i = 0; i < r->options.xs.count; i++) cnn_tensor_release(r->x[i]);
    for (int i = 0; i < r->options.ys.count; i++) cnn_tensor_release(r->y[i]);
}

static cnn_status take_rows(first_rows *r, const cnn_fit_options *given) {
    int64_t rows = given->batch_size > 0 ? given->batch_size : 32;
    *r = (first_rows){.options = {.batch_size = (int)rows}};
    cnn_status status = view_list(r->x, &r->options.xs, given->xs, given->x, rows);
    if (status == CNN_OK) status = view_list(r->y, &r->options.ys, given->ys, given->y, rows);
    if (status == CNN_OK && r->options.xs.count == 0)
        status = cnn_fail(CNN_ERROR_ARGUMENT, "missing argument 'x'");
    if (status != CNN_OK) release_rows(r);
    return status;
}

/* ---- measuring ------------------------------------------------------------------------------------------- */

/* GFLOP/s of one core's multiply-adds at most: the best of several short runs. */
static double peak_gflops(void) {
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double start = cnn_seconds();
        volatile float keep = cnn_kernel()->peak(PEAK_ROUNDS);
        (void)keep;
        double rate =
            (double)PEAK_ROUNDS * cnn_kernel()->peak_flops_per_round / (cnn_seconds() - start) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

static cnn_status run_once(cnn_model *model, const cnn_fit_options *samples, bool training) {
    double values[CNN_MAX_FIGURES];
    cnn_tensor *results[CNN_MAX_INPUTS];
    if (training) return cnn_model_train_step(model, samples, values, CNN_MAX_FIGURES);
    CNN_TRY(cnn_model_predict_all(results, model, samples));
    for (int i = 0; i < model->n_outputs; i++) cnn_tensor_release(results[i]);
    return CNN_OK;
}

typedef struct measured {
    double seconds; /* of one run */
    cnn_plan *plan;
} measured;

/* The first run makes the plan, the second finds everything in place; the others count. */
static cnn_status measure(measured *m, cnn_model *model, const cnn_fit_options *samples, bool training) {
    CNN_TRY(run_once(model, samples, training));
    CNN_TRY(run_once(model, samples, training));
    m->plan = cnn_trainer_last_plan(model);
    CNN_TRY(cnn_plan_start_timing(m->plan));
    double start = cnn_seconds(), taken = 0;
    for (int runs = 0; runs < MOST_RUNS && taken < wanted_seconds; m->seconds = taken / ++runs) {
        CNN_TRY(run_once(model, samples, training));
        taken = cnn_seconds() - start;
    }
    return CNN_OK;
}

static void describe(cnn_text *text, const cnn_model *model, const measured *m, int64_t batch,
                     bool training) {
    double peak = peak_gflops() * cnn_threads(), rate = cnn_plan_flops(m->plan) / m->seconds * 1e-9;
    const cnn_plan_times *t = cnn_plan_timed(m->plan);
    cnn_text_add(text, "%s: %s, batch %lld, %d thread%s, %s\n", model->layer.name,
                 training ? "training" : "prediction", (long long)batch, cnn_threads(),
                 cnn_threads() == 1 ? "" : "s", cnn_cpu());
    cnn_text_add(
        text, "%.3f ms a %s, %.0f samples/s, %.0f GFLOP/s: %.0f %% of the %.0f that multiply-adds reach\n\n",
        m->seconds * 1e3, training ? "step" : "batch", (double)batch / m->seconds, rate, 100 * rate / peak,
        peak);
    cnn_plan_describe(text, m->plan, peak);
    cnn_text_add(text, "beside the plan (%s): %.3f ms\n",
                 training ? "optimizer, metrics" : "copies of results",
                 (m->seconds - t->total / (t->runs > 0 ? t->runs : 1)) * 1e3);
}

static cnn_status profile(cnn_text *text, cnn_model *model, const cnn_fit_options *samples) {
    measured m = {0};
    bool training = samples->ys.count > 0;
    cnn_status status = measure(&m, model, samples, training);
    if (status == CNN_OK) describe(text, model, &m, samples->xs.items[0]->shape[0], training);
    if (m.plan) cnn_plan_stop_timing(m.plan);
    return status;
}

/* Puts away and brings back. */
static cnn_status profile_safely(cnn_text *text, cnn_model *model, const cnn_fit_options *given) {
    backup b;
    first_rows rows;
    CNN_TRY(take_rows(&rows, given));
    cnn_status status = back_up(&b, model);
    if (status == CNN_OK) {
        status = profile(text, model, &rows.options);
        restore(&b, model);
    }
    release_rows(&rows);
    return status;
}

cnn_status cnn_model_profile(char **out, cnn_model *model, const cnn_fit_options *samples) {
    cnn_trainer *trainer;
    cnn_text text = {0};
    CNN_TRY(cnn_model_expect_idle(model, "profile"));
    CNN_TRY(cnn_model_expect_built(model, "profile"));
    CNN_TRY(cnn_trainer_of(&trainer, model));
    cnn_status status = profile_safely(&text, model, samples);
    if (status != CNN_OK) {
        cnn_text_free(&text);
        return cnn_fail_in(status, "profile");
    }
    *out = cnn_text_take(&text);
    return *out ? CNN_OK : cnn_fail_memory(4096);
}
