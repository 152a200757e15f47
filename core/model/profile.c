/* What a plan consists of and where its time goes, as a table. A step of a depth-first pass is timed in each thread and
 * told as its share of the run: the threads' sum divided by their number. */
#include "model/plan_types.h"
#include "layers/layer.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

enum { OP_WIDTH = 34, LAYER_WIDTH = 22 };

cnn_status cnn_plan_start_timing(cnn_plan *plan) {
    cnn_plan_stop_timing(plan);
    size_t bytes = (size_t)cnn_threads() * 2 * (size_t)plan->n_steps * sizeof(double);
    if (!(plan->times.steps = cnn_calloc(bytes))) return cnn_fail_memory(bytes);
    plan->times.threads = cnn_threads();
    return CNN_OK;
}

void cnn_plan_stop_timing(cnn_plan *plan) {
    cnn_free(plan->times.steps);
    plan->times = (cnn_plan_times){0};
}

const cnn_plan_times *cnn_plan_timed(const cnn_plan *plan) {
    return &plan->times;
}

/* Seconds that a step takes of a run. */
static double step_seconds(const cnn_plan *plan, const pass *p, int index, bool backward) {
    const cnn_plan_times *t = &plan->times;
    int threads = p->depth_first ? t->threads : 1;
    double sum = 0;
    for (int i = 0; i < threads; i++)
        sum += t->steps[2 * ((size_t)i * (size_t)plan->n_steps + (size_t)index) + backward];
    return sum / threads / (t->runs > 0 ? t->runs : 1);
}

/* Floating-point operations of a step on the whole batch: backward does as many for each gradient that it makes, of
 * its data and of its weights. */
static double step_flops(const cnn_plan *plan, const step *s, bool backward) {
    double once = s->info.flops * (s->info.per_sample ? (double)plan->batch : 1);
    if (!backward) return once;
    int gradients = 0;
    for (int i = 0; s->backward && i < s->n_inputs && i < 2; i++) gradients += s->modes[i] != GRADIENT_NONE;
    return once * gradients;
}

double cnn_plan_flops(const cnn_plan *plan) {
    double total = 0;
    for (int i = 0; i < plan->n_steps; i++)
        total += step_flops(plan, &plan->steps[i], false) +
                 (plan->gradients ? step_flops(plan, &plan->steps[i], true) : 0);
    return total;
}

static void describe_pass(cnn_text *text, const cnn_plan *plan, const pass *p) {
    const char *what = p->forward && p->backward ? "forward and backward"
                       : p->forward              ? "forward"
                                                 : "backward";
    if (p->depth_first)
        cnn_text_add(text, "%s, depth first: %d lanes, %lld of %lld samples at a time, %zu KB a thread\n",
                     what, p->lanes, (long long)p->micro, (long long)plan->batch,
                     (p->lane_bytes + 1023) / 1024);
    else
        cnn_text_add(text, "%s, the whole batch at once\n", what);
}

static void add_seconds(cnn_text *text, bool shown, double seconds) {
    if (shown)
        cnn_text_add(text, "%11.3f", seconds * 1e3);
    else
        cnn_text_add(text, "%11s", "");
}

static void describe_times(cnn_text *text, const cnn_plan *plan, const pass *p, int index, double peak) {
    const step *s = &plan->steps[index];
    const cnn_plan_times *t = &plan->times;
    bool backward = p->backward && s->backward;
    double forward_seconds = p->forward ? step_seconds(plan, p, index, false) : 0;
    double backward_seconds = backward ? step_seconds(plan, p, index, true) : 0;
    double seconds = forward_seconds + backward_seconds, total = t->total / (t->runs > 0 ? t->runs : 1);
    double flops = (p->forward ? step_flops(plan, s, false) : 0) + (backward ? step_flops(plan, s, true) : 0);
    add_seconds(text, p->forward, forward_seconds);
    add_seconds(text, backward, backward_seconds);
    cnn_text_add(text, "%8.1f %%", total > 0 ? 100 * seconds / total : 0);
    if (flops > 0 && seconds > 0)
        cnn_text_add(text, "%9.0f%6.0f %%", flops / seconds * 1e-9, 100 * flops / seconds * 1e-9 / peak);
}

/* An op within a layer's call is told as that layer's: the one of the step that goes on with its result. */
static const cnn_layer *layer_of(const cnn_plan *plan, int index) {
    const step *s = &plan->steps[index];
    for (int i = index + 1; !s->layer && i < plan->n_steps; i++)
        for (int j = 0; j < plan->steps[i].n_inputs; j++)
            if (plan_root(plan, plan->steps[i].inputs[j]) == plan_root(plan, s->output))
                return plan->steps[i].layer;
    return s->layer;
}

static void describe_step(cnn_text *text, const cnn_plan *plan, const pass *p, int index, double peak) {
    const step *s = &plan->steps[index];
    size_t line = text->length;
    cnn_text_add(text, "  %s", s->op->class.name);
    for (int i = 0; i < MOST_FUSED && s->fused[i]; i++) cnn_text_add(text, " + %s", s->fused[i]->class.name);
    if (text->length - line >= OP_WIDTH) cnn_text_add(text, " ");
    cnn_text_pad(text, OP_WIDTH, ' ');
    const cnn_layer *layer = layer_of(plan, index);
    cnn_text_add(text, "%.*s", LAYER_WIDTH - 2, layer ? layer->name : "");
    cnn_text_pad(text, OP_WIDTH + LAYER_WIDTH, ' ');
    if (plan->times.runs > 0) describe_times(text, plan, p, index, peak);
    cnn_text_add(text, "\n");
}

/* What of a run is outside of all steps. */
static void describe_rest(cnn_text *text, const cnn_plan *plan) {
    const cnn_plan_times *t = &plan->times;
    double steps = 0;
    for (int i = 0; i < plan->n_passes; i++) {
        const pass *p = &plan->passes[i];
        for (int k = p->first; k < p->first + p->count; k++) {
            if (p->forward) steps += step_seconds(plan, p, k, false);
            if (p->backward) steps += step_seconds(plan, p, k, true);
        }
    }
    double total = t->total / t->runs, prepare = t->prepare / t->runs, waiting = total - prepare - steps;
    cnn_text_add(text, "weights made ready");
    cnn_text_pad(text, OP_WIDTH + LAYER_WIDTH, ' ');
    cnn_text_add(text, "%11.3f%11s%8.1f %%\n", prepare * 1e3, "", 100 * prepare / total);
    cnn_text_add(text, "sums of lanes, threads waiting");
    cnn_text_pad(text, OP_WIDTH + LAYER_WIDTH, ' ');
    cnn_text_add(text, "%11.3f%11s%8.1f %%\n", waiting * 1e3, "", 100 * waiting / total);
}

void cnn_plan_describe(cnn_text *text, const cnn_plan *plan, double peak) {
    cnn_text_add(text, "op");
    cnn_text_pad(text, OP_WIDTH, ' ');
    cnn_text_add(text, "layer");
    cnn_text_pad(text, OP_WIDTH + LAYER_WIDTH, ' ');
    if (plan->times.runs > 0)
        cnn_text_add(text, "%11s%11s%10s%9s%8s", "forward ms", "backward", "share", "GFLOP/s", "of peak");
    cnn_text_add(text, "\n");
    for (int i = 0; i < plan->n_passes; i++) {
        const pass *p = &plan->passes[i];
        describe_pass(text, plan, p);
        for (int k = 0; k < p->count; k++) {
            int index = p->forward ? p->first + k : p->first + p->count - 1 - k;
            if (p->forward || plan->steps[index].backward) describe_step(text, plan, p, index, peak);
        }
    }
    if (plan->times.runs > 0) describe_rest(text, plan);
    cnn_text_add(text,
                 "memory: %.2f MB for the batch, %.2f MB a thread, %.2f MB of gradients and their sums\n",
                 (double)plan->whole_bytes / 1e6, (double)plan->thread_stride / 1e6,
                 (double)(plan->gradient_floats + plan->sums_floats) * sizeof(float) / 1e6);
}
