/* Steps → passes, and a place for everything.
 *
 * Time, for lifetimes, is the position of a pass; within a depth-first pass it is the position of a step's forward or
 * backward. What is touched in one depth-first pass only gets a place per thread, anything else one for the batch. */
#include "model/plan_types.h"
#include "model/graph.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

#include <limits.h>
#include <string.h>

/* A step that spreads its own work is better run on the whole batch when its weights, read again for every few
 * samples and summed once a lane, outgrow this. */
static const size_t small_weights = 128 << 10;

/* What one thread's values of a pass may fill: well within a second-level cache, beside the weights. */
static const size_t micro_budget = 256 << 10;

/* ---- passes ---------------------------------------------------------------------------------------------- */

static bool goes_depth_first(const cnn_plan *plan, const step *s) {
    if (!s->per_sample) return false;
    if (!s->op->self_parallel) return true;
    size_t bytes = 0;
    for (int i = 0; i < s->n_inputs; i++)
        if (step_shares(s, i)) bytes += cnn_tensor_bytes(&plan->values[s->inputs[i]].head);
    return bytes <= small_weights;
}

static bool any_backward(const cnn_plan *plan, const pass *p) {
    for (int i = p->first; i < p->first + p->count; i++)
        if (plan->steps[i].backward) return true;
    return false;
}

/* Forward groups in order, then their backward in reverse; the last group does both at once if it is depth first. */
static void make_passes(cnn_plan *plan) {
    int n = 0;
    for (int i = 0; i < plan->n_steps;) {
        pass *p = &plan->passes[n++];
        *p = (pass){.depth_first = goes_depth_first(plan, &plan->steps[i]), .first = i, .forward = true};
        do {
            i++;
        } while (p->depth_first && i < plan->n_steps && goes_depth_first(plan, &plan->steps[i]));
        p->count = i - p->first;
    }
    int forward = n;
    for (int i = forward - 1; plan->gradients && i >= 0; i--) {
        if (!any_backward(plan, &plan->passes[i])) continue;
        if (i == forward - 1 && plan->passes[i].depth_first) {
            plan->passes[i].backward = true;
            continue;
        }
        plan->passes[n] = plan->passes[i];
        plan->passes[n].forward = false;
        plan->passes[n++].backward = true;
    }
    plan->n_passes = n;
}

/* ---- moments --------------------------------------------------------------------------------------------- */

/* When something is first and last touched: by pass, and by position within that pass. */
typedef struct life {
    int first_pass, last_pass, first, last;
} life;

static void touch(life *l, int pass_index, int position) {
    if (l->first_pass > pass_index)
        l->first_pass = pass_index, l->first = position;
    else if (l->first_pass == pass_index && position < l->first)
        l->first = position;
    if (l->last_pass < pass_index)
        l->last_pass = pass_index, l->last = position;
    else if (l->last_pass == pass_index && position > l->last)
        l->last = position;
}

/* Notes for each step in which passes it runs. */
static void find_passes(cnn_plan *plan) {
    for (int i = 0; i < plan->n_passes; i++) {
        const pass *p = &plan->passes[i];
        for (int k = p->first; k < p->first + p->count; k++) {
            if (p->forward) plan->steps[k].forward_pass = i;
            if (p->backward) plan->steps[k].backward_pass = i;
        }
    }
}

/* The step's forward or backward touches it. */
static void touch_step(const cnn_plan *plan, life *l, int step_index, bool backward) {
    const step *s = &plan->steps[step_index];
    int pass_index = backward ? s->backward_pass : s->forward_pass;
    const pass *p = &plan->passes[pass_index];
    int at = step_index - p->first;
    touch(l, pass_index, backward ? 2 * p->count - 1 - at : at);
}

/* ---- how gradients are written --------------------------------------------------------------------------- */

static void choose_modes(cnn_plan *plan) {
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        step *s = &plan->steps[i];
        for (int j = 0; s->backward && j < s->n_inputs; j++) {
            value *v = &plan->values[plan_root(plan, s->inputs[j])];
            bool constant = j < 32 && (s->op->constant >> j & 1);
            if (!v->needs_gradient || constant) {
                s->modes[j] = GRADIENT_NONE;
            } else if (v->kind == VALUE_CONSTANT) {
                s->modes[j] = step_shares(s, j) ? GRADIENT_DIRECT : GRADIENT_VIA_TEMPORARY;
            } else {
                s->modes[j] = v->gradient_started ? GRADIENT_VIA_TEMPORARY : GRADIENT_DIRECT;
                v->gradient_started = true;
            }
        }
    }
}

/* ---- places ---------------------------------------------------------------------------------------------- */

/* Something that wants a place, with its life. rows: bytes a sample, or all bytes where not sampled. */
typedef struct wish {
    place *place;
    size_t bytes;
    bool sampled;
    life life;
} wish;

typedef struct wishes {
    wish *items;
    int count, capacity;
} wishes;

static cnn_status add_wish(wishes *w, const cnn_plan *plan, place *where, size_t bytes, bool sampled,
                           life l) {
    if (l.last_pass < 0) return CNN_OK; /* never touched */
    CNN_TRY(cnn_list_grow((void **)&w->items, w->count, &w->capacity, sizeof *w->items));
    bool in_lane = l.first_pass == l.last_pass && plan->passes[l.first_pass].depth_first && sampled;
    where->kind = in_lane ? PLACE_LANE : PLACE_WHOLE;
    w->items[w->count++] = (wish){where, bytes, sampled, l};
    return CNN_OK;
}

static const life untouched = {INT_MAX, -1, 0, 0};

static size_t row_bytes(const cnn_plan *plan, const value *v) {
    size_t bytes = cnn_tensor_bytes(&v->head);
    return v->sampled && plan->batch > 0 ? bytes / (size_t)plan->batch : bytes;
}

/* When a value and its gradient are touched. */
typedef struct value_life {
    life data, gradient;
} value_life;

static void touch_values(const cnn_plan *plan, value_life *lives) {
    for (int i = 0; i < plan->n_values; i++) lives[i] = (value_life){untouched, untouched};
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        value_life *output = &lives[s->output];
        touch_step(plan, &output->data, i, false);
        if (s->backward && (s->op->needs & CNN_NEEDS_OUTPUT)) touch_step(plan, &output->data, i, true);
        if (s->backward) touch_step(plan, &output->gradient, i, true);
        for (int j = 0; j < s->n_inputs; j++) {
            value_life *input = &lives[plan_root(plan, s->inputs[j])];
            touch_step(plan, &input->data, i, false);
            if (s->backward && step_needs(s, j)) touch_step(plan, &input->data, i, true);
            if (s->backward && s->modes[j] != GRADIENT_NONE) touch_step(plan, &input->gradient, i, true);
        }
    }
    for (int i = 0; i < plan->n_values; i++)
        if (plan->values[i].wanted) touch(&lives[plan_root(plan, i)].data, plan->n_passes, 0);
}

static cnn_status wish_for_values(cnn_plan *plan, wishes *w) {
    value_life *lives = cnn_malloc((size_t)plan->n_values * sizeof *lives);
    if (!lives) return cnn_fail_memory((size_t)plan->n_values * sizeof *lives);
    touch_values(plan, lives);
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < plan->n_values; i++) {
        value *v = &plan->values[i];
        if (v->kind != VALUE_COMPUTED || v->alias_of >= 0) continue;
        size_t row = row_bytes(plan, v);
        status = add_wish(w, plan, &v->data, row, v->sampled, lives[i].data);
        if (status == CNN_OK && v->gradient_started)
            status = add_wish(w, plan, &v->gradient, row, v->sampled, lives[i].gradient);
    }
    cnn_free(lives);
    return status;
}

static cnn_status wish_for_step(cnn_plan *plan, wishes *w, int index) {
    step *s = &plan->steps[index];
    bool sampled = s->info.per_sample && plan->values[s->output].sampled;
    if (s->info.saved > 0 && s->backward) {
        life saved = untouched;
        touch_step(plan, &saved, index, false);
        touch_step(plan, &saved, index, true);
        size_t rows = s->info.per_sample && !sampled ? (size_t)s->info.shape[0] : 1;
        CNN_TRY(add_wish(w, plan, &s->saved, s->info.saved * rows, sampled, saved));
    }
    for (int j = 0; j < s->n_inputs; j++) {
        if (s->modes[j] != GRADIENT_VIA_TEMPORARY) continue;
        const value *v = &plan->values[s->inputs[j]];
        life now = untouched;
        touch_step(plan, &now, index, true);
        CNN_TRY(add_wish(w, plan, &s->temporaries[j], row_bytes(plan, v), v->sampled, now));
    }
    return CNN_OK;
}

/* Bytes of a pass's lane memory with this many samples at a time; gives the places their offsets. */
static size_t plan_lane(const wishes *w, span *spans, int pass_index, int64_t micro) {
    int n = 0;
    for (int i = 0; i < w->count; i++) {
        const wish *x = &w->items[i];
        if (x->place->kind == PLACE_LANE && x->life.first_pass == pass_index)
            spans[n++] =
                (span){.bytes = x->bytes * (size_t)micro, .first = x->life.first, .last = x->life.last};
    }
    size_t total = cnn_arena_plan(spans, n);
    n = 0;
    for (int i = 0; i < w->count; i++) {
        const wish *x = &w->items[i];
        if (x->place->kind == PLACE_LANE && x->life.first_pass == pass_index)
            x->place->offset = spans[n++].offset;
    }
    return total;
}

static cnn_status place_lanes(cnn_plan *plan, const wishes *w, span *spans) {
    size_t most = 0;
    for (int i = 0; i < plan->n_passes; i++) {
        pass *p = &plan->passes[i];
        if (!p->depth_first) continue;
        int64_t lane = (plan->batch + p->lanes - 1) / p->lanes;
        size_t one = plan_lane(w, spans, i, 1);
        p->micro = one > 0 && one != SIZE_MAX ? (int64_t)(micro_budget / one) : lane;
        if (p->micro < 1) p->micro = 1;
        if (p->micro > lane) p->micro = lane;
        p->lane_bytes = plan_lane(w, spans, i, p->micro);
        if (p->lane_bytes == SIZE_MAX) return cnn_fail_memory((size_t)w->count * sizeof *spans);
        if (p->lane_bytes > most) most = p->lane_bytes;
    }
    for (int i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].info.scratch > plan->scratch_bytes)
            plan->scratch_bytes = plan->steps[i].info.scratch;
    plan->scratch_bytes = CNN_ROUND_UP(plan->scratch_bytes, CNN_ALIGN);
    /* A page between the threads' blocks keeps their ends out of each other's way. */
    plan->thread_stride = CNN_ROUND_UP(plan->scratch_bytes + most, 4096) + 4096;
    return CNN_OK;
}

/* The plan's own memory: first what prepare makes, which outlives a run, then everything else by lifetime. */
static cnn_status place_whole(cnn_plan *plan, const wishes *w, span *spans) {
    size_t prepared = 0;
    for (int i = 0; i < plan->n_steps; i++) {
        plan->steps[i].prepared = prepared;
        prepared += CNN_ROUND_UP(plan->steps[i].info.prepared, CNN_ALIGN);
    }
    int n = 0;
    for (int i = 0; i < w->count; i++) {
        const wish *x = &w->items[i];
        size_t bytes = x->bytes * (x->sampled ? (size_t)plan->batch : 1);
        if (x->place->kind == PLACE_WHOLE)
            spans[n++] = (span){.bytes = bytes, .first = x->life.first_pass, .last = x->life.last_pass};
    }
    size_t total = cnn_arena_plan(spans, n);
    if (total == SIZE_MAX) return cnn_fail_memory((size_t)n * sizeof *spans);
    n = 0;
    for (int i = 0; i < w->count; i++)
        if (w->items[i].place->kind == PLACE_WHOLE) w->items[i].place->offset = prepared + spans[n++].offset;
    plan->whole_bytes = prepared + total;
    return CNN_OK;
}

/* ---- sums of weight gradients ---------------------------------------------------------------------------- */

/* A pass sums the gradients of variables that follow each other in the plan's, for both are in the order of steps. */
static void add_sum(pass *p, const variable *v) {
    size_t end = v->gradient + CNN_ROUND_UP((size_t)v->tensor->size, CNN_ALIGN / sizeof(float));
    if (p->sums_size == 0) p->sums_first = v->gradient;
    size_t last = p->sums_first + p->sums_size;
    if (v->gradient < p->sums_first) p->sums_first = v->gradient;
    p->sums_size = (end > last ? end : last) - p->sums_first;
}

static void make_lanes(cnn_plan *plan) {
    for (int i = 0; i < plan->n_passes; i++) {
        pass *p = &plan->passes[i];
        if (!p->depth_first) continue;
        for (int k = p->first; p->backward && k < p->first + p->count; k++) {
            const step *s = &plan->steps[k];
            for (int j = 0; s->backward && j < s->n_inputs; j++)
                if (step_shares(s, j) && s->modes[j] == GRADIENT_DIRECT)
                    add_sum(p, &plan->variables[plan->values[s->inputs[j]].index]);
        }
        p->lanes = cnn_lane_count(plan->batch, p->sums_size * sizeof(float));
        size_t floats = p->sums_size * (size_t)p->lanes;
        if (floats > plan->sums_floats) plan->sums_floats = floats;
    }
}

static cnn_status allocate(cnn_plan *plan) {
    plan->n_threads = cnn_threads();
    plan->whole = cnn_malloc(plan->whole_bytes);
    plan->threads = cnn_malloc(plan->thread_stride * (size_t)plan->n_threads);
    plan->sums = cnn_malloc(plan->sums_floats * sizeof(float));
    plan->gradient = cnn_calloc(plan->gradient_floats * sizeof(float));
    if (!plan->whole || !plan->threads || !plan->sums || !plan->gradient)
        return cnn_fail_memory(cnn_plan_bytes(plan));
    return CNN_OK;
}

cnn_status cnn_plan_schedule(cnn_plan *plan) {
    plan->passes = cnn_calloc((size_t)(2 * plan->n_steps + 1) * sizeof *plan->passes);
    if (!plan->passes) return cnn_fail_memory((size_t)plan->n_steps * sizeof *plan->passes);
    make_passes(plan);
    find_passes(plan);
    choose_modes(plan);
    make_lanes(plan);
    wishes w = {0};
    cnn_status status = wish_for_values(plan, &w);
    for (int i = 0; status == CNN_OK && i < plan->n_steps; i++) status = wish_for_step(plan, &w, i);
    span *spans = cnn_malloc((size_t)w.count * sizeof *spans);
    if (status == CNN_OK && !spans) status = cnn_fail_memory((size_t)w.count * sizeof *spans);
    if (status == CNN_OK) status = place_lanes(plan, &w, spans);
    if (status == CNN_OK) status = place_whole(plan, &w, spans);
    cnn_free(spans);
    cnn_free(w.items);
    return status == CNN_OK ? allocate(plan) : status;
}
