/* Runs a plan's passes; see plan.h. */
#include "model/plan_types.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

#include <stdatomic.h>
#include <string.h>

/* One run, or the part of it that a lane does. */
typedef struct frame {
    const cnn_plan *plan;
    const cnn_plan_feed *feed;
    const pass *pass;
    char *scratch, *lane; /* this thread's */
    float *sums;          /* this lane's */
    double *times;        /* this thread's, where runs are timed */
    int64_t from, to;     /* the samples at hand */
} frame;

/* ---- where things are -------------------------------------------------------------------------------------- */

static char *at_place(const frame *f, place p, size_t row) {
    if (p.kind == PLACE_LANE) return f->lane ? f->lane + p.offset : NULL;
    if (p.kind == PLACE_WHOLE) return f->plan->whole + p.offset + row * (size_t)f->from;
    return NULL;
}

static size_t row_of(const cnn_plan *plan, const value *v) {
    return v->sampled && plan->batch > 0 ? cnn_tensor_bytes(&v->head) / (size_t)plan->batch : 0;
}

static char *data_of(const frame *f, int index) {
    const value *v = &f->plan->values[plan_root(f->plan, index)];
    size_t row = row_of(f->plan, v);
    if (v->kind == VALUE_CONSTANT) return v->source->data;
    if (v->kind == VALUE_INPUT) return (char *)f->feed->inputs[v->index] + row * (size_t)f->from;
    if (v->kind == VALUE_LABEL) return (char *)f->feed->labels[v->index] + row * (size_t)f->from;
    return at_place(f, v->data, row);
}

static char *gradient_of(const frame *f, int index) {
    const cnn_plan *plan = f->plan;
    for (int i = 0; i < plan->n_losses; i++)
        if (plan->losses[i] == index) return (char *)(f->feed->seeds[i] + f->from);
    const value *v = &plan->values[plan_root(plan, index)];
    return at_place(f, v->gradient, row_of(plan, v));
}

/* A lane's own sum for a variable, or, on the whole batch, the variable's gradient. */
static char *variable_gradient(const frame *f, int variable_index) {
    size_t at = f->plan->variables[variable_index].gradient;
    return (char *)(f->sums ? f->sums + (at - f->pass->sums_first) : f->plan->gradient + at);
}

/* The value's header for the samples at hand. */
static cnn_tensor header(const frame *f, int index, char *data) {
    const value *v = &f->plan->values[index];
    cnn_tensor t = v->head;
    t.data = data;
    if (v->sampled) {
        t.size = t.shape[0] > 0 ? t.size / t.shape[0] * (f->to - f->from) : 0;
        t.shape[0] = f->to - f->from;
    }
    return t;
}

/* ---- one step ---------------------------------------------------------------------------------------------- */

typedef struct bound {
    cnn_op_call call;
    cnn_tensor inputs[CNN_MAX_INPUTS], output, grad_output, grad_inputs[CNN_MAX_INPUTS];
    const cnn_tensor *input_list[CNN_MAX_INPUTS];
    cnn_tensor *grad_list[CNN_MAX_INPUTS];
} bound;

static void bind(const frame *f, const step *s, bound *b) {
    for (int i = 0; i < s->n_inputs; i++) {
        b->inputs[i] = header(f, s->inputs[i], data_of(f, s->inputs[i]));
        b->input_list[i] = &b->inputs[i];
    }
    b->output = header(f, s->output, data_of(f, s->output));
    b->call = (cnn_op_call){.attributes = s->attributes,
                            .n_inputs = s->n_inputs,
                            .inputs = b->input_list,
                            .output = &b->output,
                            .saved = at_place(f, s->saved, s->info.per_sample ? s->info.saved : 0),
                            .scratch = f->scratch,
                            .prepared = f->plan->whole + s->prepared,
                            .training = s->training,
                            .backward_follows = s->backward,
                            .step = f->feed->step,
                            .first_sample = f->from};
}

static cnn_status step_forward(const frame *f, const step *s) {
    bound b;
    bind(f, s, &b);
    if (s->op->alias) {
        memcpy(b.output.data, b.inputs[0].data, cnn_tensor_bytes(&b.output));
        return CNN_OK;
    }
    return s->op->forward(&b.call);
}

static void bind_gradients(const frame *f, const step *s, bound *b) {
    b->grad_output = header(f, s->output, gradient_of(f, s->output));
    b->call.grad_output = &b->grad_output;
    b->call.grad_inputs = b->grad_list;
    for (int i = 0; i < s->n_inputs; i++) {
        const value *v = &f->plan->values[plan_root(f->plan, s->inputs[i])];
        b->grad_list[i] = s->modes[i] == GRADIENT_NONE ? NULL : &b->grad_inputs[i];
        if (s->modes[i] == GRADIENT_NONE) continue;
        char *data;
        if (s->modes[i] == GRADIENT_VIA_TEMPORARY)
            data = at_place(f, s->temporaries[i], row_of(f->plan, v));
        else if (v->kind == VALUE_CONSTANT)
            data = variable_gradient(f, v->index);
        else
            data = gradient_of(f, s->inputs[i]);
        b->grad_inputs[i] = header(f, s->inputs[i], data);
        if (step_shares(s, i) && v->kind != VALUE_CONSTANT)
            memset(data, 0, cnn_tensor_bytes(&b->grad_inputs[i]));
    }
}

/* Adds the temporaries into the gradients they belong to. */
static void add_temporaries(const frame *f, const step *s, bound *b) {
    for (int i = 0; i < s->n_inputs; i++) {
        if (s->modes[i] != GRADIENT_VIA_TEMPORARY) continue;
        const value *v = &f->plan->values[plan_root(f->plan, s->inputs[i])];
        float *to = (float *)(v->kind == VALUE_CONSTANT ? variable_gradient(f, v->index)
                                                        : gradient_of(f, s->inputs[i]));
        cnn_lanes_sum(to, true, cnn_f32(&b->grad_inputs[i]), 1, 0, b->grad_inputs[i].size);
    }
}

static cnn_status step_backward(const frame *f, const step *s) {
    bound b;
    bind(f, s, &b);
    bind_gradients(f, s, &b);
    if (s->op->alias) {
        if (b.grad_list[0])
            memcpy(b.grad_list[0]->data, b.grad_output.data, cnn_tensor_bytes(&b.grad_output));
    } else {
        CNN_TRY(s->op->backward(&b.call));
    }
    add_temporaries(f, s, &b);
    return CNN_OK;
}

static cnn_status run_step(const frame *f, int index, bool backward) {
    const step *s = &f->plan->steps[index];
    if (!f->times) return backward ? step_backward(f, s) : step_forward(f, s);
    double start = cnn_seconds();
    cnn_status status = backward ? step_backward(f, s) : step_forward(f, s);
    f->times[2 * index + backward] += cnn_seconds() - start;
    return status;
}

/* The pass's steps on the samples at hand. */
static cnn_status run_steps(const frame *f) {
    int first = f->pass->first, end = first + f->pass->count;
    for (int i = first; f->pass->forward && i < end; i++) CNN_TRY(run_step(f, i, false));
    for (int i = end - 1; f->pass->backward && i >= first; i--)
        if (f->plan->steps[i].backward) CNN_TRY(run_step(f, i, true));
    return CNN_OK;
}

/* NULL for threads that came after timing began, too. */
static double *times_of(const cnn_plan *plan, int thread) {
    const cnn_plan_times *t = &plan->times;
    return t->steps && thread < t->threads ? t->steps + (size_t)thread * 2 * (size_t)plan->n_steps : NULL;
}

/* ---- passes ------------------------------------------------------------------------------------------------ */

typedef struct pass_run {
    const cnn_plan *plan;
    const cnn_plan_feed *feed;
    const pass *pass;
    atomic_int failed;
    char message[512]; /* of the task that failed first */
} pass_run;

static void run_lane(void *context, int64_t lane, int thread) {
    pass_run *r = context;
    char *memory = r->plan->threads + (size_t)thread * r->plan->thread_stride;
    frame f = {.plan = r->plan,
               .feed = r->feed,
               .pass = r->pass,
               .scratch = memory,
               .lane = memory + r->plan->scratch_bytes,
               .times = times_of(r->plan, thread)};
    if (r->pass->sums_size > 0 && r->pass->lanes == 1) {
        f.sums = r->plan->gradient + r->pass->sums_first; /* nothing to add up */
    } else if (r->pass->sums_size > 0) {
        f.sums = r->plan->sums + (size_t)lane * r->pass->sums_size;
        memset(f.sums, 0, r->pass->sums_size * sizeof(float));
    }
    int64_t end;
    cnn_lane_range(r->plan->batch, r->pass->lanes, (int)lane, &f.from, &end);
    for (; f.from < end; f.from = f.to) {
        f.to = f.from + r->pass->micro < end ? f.from + r->pass->micro : end;
        cnn_status status = run_steps(&f);
        int none = CNN_OK;
        if (status == CNN_OK) continue;
        if (atomic_compare_exchange_strong(&r->failed, &none, (int)status))
            snprintf(r->message, sizeof r->message, "%s", cnn_error_message());
        return;
    }
}

static cnn_status run_depth_first(const cnn_plan *plan, const cnn_plan_feed *feed, const pass *p) {
    pass_run r = {.plan = plan, .feed = feed, .pass = p};
    cnn_parallel(p->lanes, run_lane, &r);
    if (r.failed != CNN_OK) return cnn_fail((cnn_status)r.failed, "%s", r.message);
    if (p->lanes == 1) return CNN_OK;
    cnn_lanes_sum(plan->gradient + p->sums_first, true, plan->sums, p->lanes, (int64_t)p->sums_size,
                  (int64_t)p->sums_size);
    return CNN_OK;
}

static cnn_status run_whole(const cnn_plan *plan, const cnn_plan_feed *feed, const pass *p) {
    frame f = {.plan = plan,
               .feed = feed,
               .pass = p,
               .scratch = plan->threads,
               .times = times_of(plan, 0),
               .from = 0,
               .to = plan->batch};
    return run_steps(&f);
}

/* ---- prepare ----------------------------------------------------------------------------------------------- */

/* Weights that a step computes can be prepared only once they are there: right before the pass that reads them. */
static bool prepares_early(const cnn_plan *plan, const step *s) {
    for (int i = 0; i < s->n_inputs; i++)
        if (step_shares(s, i) && plan->values[plan_root(plan, s->inputs[i])].kind == VALUE_COMPUTED)
            return false;
    return true;
}

static void prepare_step(const cnn_plan *plan, const cnn_plan_feed *feed, const step *s) {
    frame f = {.plan = plan, .feed = feed, .from = 0, .to = plan->batch};
    bound b;
    bind(&f, s, &b);
    s->op->prepare(&b.call);
}

typedef struct preparation {
    const cnn_plan *plan;
    const cnn_plan_feed *feed;
} preparation;

static void prepare_early(void *context, int64_t index, int thread) {
    const preparation *p = context;
    const step *s = &p->plan->steps[index];
    (void)thread;
    if (s->op->prepare && prepares_early(p->plan, s)) prepare_step(p->plan, p->feed, s);
}

static void prepare_late(const cnn_plan *plan, const cnn_plan_feed *feed, const pass *p) {
    for (int i = p->first; p->forward && i < p->first + p->count; i++) {
        const step *s = &plan->steps[i];
        if (s->op->prepare && !prepares_early(plan, s)) prepare_step(plan, feed, s);
    }
}

/* A word joins, high bits go down, multiplication brings low bits up. */
static uint64_t stir(uint64_t hash, uint64_t word) {
    hash ^= word;
    return (hash << 29 | hash >> 35) * 0x9E3779B97F4A7C15u;
}

/* Four chains hide the latency of multiplication. */
static uint64_t hash_words(uint64_t hash, const float *words, int64_t count) {
    enum { CHAINS = 4 };
    uint64_t chain[CHAINS] = {hash, 1, 2, 3}, word = 0;
    int64_t i = 0;
    for (; i + 2 * CHAINS <= count; i += 2 * CHAINS)
        for (int c = 0; c < CHAINS; c++) {
            memcpy(&word, words + i + 2 * c, sizeof word);
            chain[c] = stir(chain[c], word);
        }
    for (word = 0; i < count; i++) {
        memcpy(&word, words + i, sizeof *words);
        chain[0] = stir(chain[0], word);
    }
    for (int c = 1; c < CHAINS; c++) chain[0] = stir(chain[0], chain[c]);
    return chain[0];
}

/* Of the weights that prepare reads. */
static uint64_t fingerprint(const cnn_plan *plan) {
    uint64_t hash = 0;
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        for (int k = 0; s->op->prepare && k < s->n_inputs; k++) {
            const value *v = &plan->values[plan_root(plan, s->inputs[k])];
            if (v->kind == VALUE_CONSTANT && v->head.dtype == CNN_FLOAT32)
                hash = hash_words(hash, v->source->data, v->head.size);
        }
    }
    return hash;
}

/* Whether what prepare made is still that of the weights. Comparing takes a fraction of preparing. */
static void check_weights(cnn_plan *plan, const cnn_plan_feed *feed) {
    if (feed->weights_changed) plan->prepared = plan->fingerprinted = false;
    if (feed->weights_changed || !feed->weights_doubtful) return;
    uint64_t now = fingerprint(plan);
    if (!plan->fingerprinted || plan->fingerprint != now) plan->prepared = false;
    plan->fingerprint = now;
    plan->fingerprinted = true;
}

/* Memory for more threads than there were. */
static cnn_status widen_threads(cnn_plan *plan) {
    if (plan->n_threads >= cnn_threads()) return CNN_OK;
    size_t bytes = plan->thread_stride * (size_t)cnn_threads();
    char *grown = cnn_malloc(bytes);
    if (!grown) return cnn_fail_memory(bytes);
    cnn_free(plan->threads);
    plan->threads = grown;
    plan->n_threads = cnn_threads();
    return CNN_OK;
}

static cnn_status run_passes(cnn_plan *plan, const cnn_plan_feed *feed) {
    for (int i = 0; i < plan->n_passes; i++) {
        const pass *p = &plan->passes[i];
        prepare_late(plan, feed, p);
        CNN_TRY(p->depth_first ? run_depth_first(plan, feed, p) : run_whole(plan, feed, p));
    }
    return CNN_OK;
}

cnn_status cnn_plan_run(cnn_plan *plan, const cnn_plan_feed *feed) {
    double start = plan->times.steps ? cnn_seconds() : 0;
    check_weights(plan, feed);
    CNN_TRY(widen_threads(plan));
    if (plan->gradients) memset(plan->gradient, 0, plan->gradient_floats * sizeof(float));
    preparation all = {plan, feed};
    if (!plan->prepared) cnn_parallel(plan->n_steps, prepare_early, &all);
    plan->prepared = true;
    double prepared = plan->times.steps ? cnn_seconds() : 0;
    CNN_TRY(run_passes(plan, feed));
    for (int i = 0; i < plan->n_outputs; i++) {
        const value *v = &plan->values[plan_root(plan, plan->outputs[i])];
        if (v->kind == VALUE_INPUT) plan->output_heads[i].data = (void *)feed->inputs[v->index];
    }
    if (plan->times.steps) {
        plan->times.runs++;
        plan->times.prepare += prepared - start;
        plan->times.total += cnn_seconds() - start;
    }
    return CNN_OK;
}

/* ---- life and results -------------------------------------------------------------------------------------- */

cnn_status cnn_plan_new(cnn_plan **out, const cnn_plan_options *options) {
    if (options->batch < 1) return cnn_fail(CNN_ERROR_ARGUMENT, "model: a batch must have a sample or more");
    cnn_plan *plan = cnn_calloc(sizeof *plan);
    if (!plan) return cnn_fail_memory(sizeof *plan);
    plan->batch = options->batch;
    plan->training = options->training;
    plan->gradients = options->gradients;
    plan->n_losses = options->n_losses;
    plan->outputs = cnn_calloc((size_t)options->n_outputs * sizeof *plan->outputs);
    plan->losses = cnn_calloc((size_t)options->n_losses * sizeof *plan->losses);
    plan->output_heads = cnn_calloc((size_t)options->n_outputs * sizeof *plan->output_heads);
    plan->graph = cnn_calloc((size_t)options->n_outputs * sizeof *plan->graph);
    cnn_status status = CNN_OK;
    if (!plan->outputs || !plan->losses || !plan->output_heads || !plan->graph) status = cnn_fail_memory(64);
    for (; status == CNN_OK && plan->n_outputs < options->n_outputs; plan->n_outputs++)
        plan->graph[plan->n_outputs] = cnn_tensor_retain(options->outputs[plan->n_outputs]);
    if (status == CNN_OK) status = cnn_plan_compile(plan, options);
    if (status == CNN_OK) status = cnn_plan_schedule(plan);
    if (status != CNN_OK) {
        cnn_plan_free(plan);
        return status;
    }
    for (int i = 0; i < plan->n_outputs; i++) {
        const value *v = &plan->values[plan_root(plan, plan->outputs[i])];
        plan->output_heads[i] = plan->values[plan->outputs[i]].head;
        plan->output_heads[i].data =
            v->kind == VALUE_CONSTANT ? v->source->data : plan->whole + v->data.offset;
    }
    *out = plan;
    return CNN_OK;
}

static void free_step(step *s) {
    cnn_free(s->attributes);
    cnn_free(s->inputs);
    cnn_free(s->modes);
    cnn_free(s->temporaries);
}

void cnn_plan_free(cnn_plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->n_steps; i++) free_step(&plan->steps[i]);
    for (int i = 0; i < plan->n_variables; i++) cnn_tensor_release(plan->variables[i].tensor);
    for (int i = 0; plan->graph && i < plan->n_outputs; i++) cnn_tensor_release(plan->graph[i]);
    cnn_free(plan->graph);
    cnn_free(plan->values);
    cnn_free(plan->steps);
    cnn_free(plan->passes);
    cnn_free(plan->variables);
    cnn_free(plan->outputs);
    cnn_free(plan->losses);
    cnn_free(plan->output_heads);
    cnn_free(plan->gradient);
    cnn_free(plan->whole);
    cnn_free(plan->threads);
    cnn_free(plan->sums);
    cnn_plan_stop_timing(plan);
    cnn_free(plan);
}

const cnn_tensor *cnn_plan_output(const cnn_plan *plan, int output) {
    return &plan->output_heads[output];
}

const float *cnn_plan_loss_values(const cnn_plan *plan, int loss) {
    return (const float *)(plan->whole + plan->values[plan->losses[loss]].data.offset);
}

int cnn_plan_variable_count(const cnn_plan *plan) {
    return plan->n_variables;
}

cnn_tensor *cnn_plan_variable(const cnn_plan *plan, int index) {
    return plan->variables[index].tensor;
}

float *cnn_plan_gradient(const cnn_plan *plan, int index) {
    return plan->gradient + plan->variables[index].gradient;
}

size_t cnn_plan_bytes(const cnn_plan *plan) {
    return plan->whole_bytes + plan->thread_stride * (size_t)plan->n_threads +
           (plan->sums_floats + plan->gradient_floats) * sizeof(float);
}
