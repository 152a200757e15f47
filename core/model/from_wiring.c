/* The wiring of a functional model from JSON: which layer is called on which tensors, in what order whatsoever. */
#include "model/draft.h"
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdlib.h>

/* ---- what the spec says ---------------------------------------------------------------------- */

/* Which tensor: the result of a layer's call. */
typedef struct source {
    int entry, call, output;
    bool in_list; /* told by a list, not by Keras 3's tensor */
} source;

/* One call of a layer, on sources. */
typedef struct layer_call {
    int entry;
    int first_source, n_sources;
    bool inference;
    bool entered;      /* its sources are being made */
    cnn_tensor **made; /* its results, retained; NULL before */
} layer_call;

typedef struct wiring {
    cnn_draft *draft;
    int *by_name; /* positions of entries, sorted */
    int n_sources, source_capacity;
    source *sources;
    int n_calls, call_capacity;
    layer_call *calls;
} wiring;

static int compare_names(const void *a, const void *b, void *entries) {
    const cnn_entry *list = entries;
    return strcmp(list[*(const int *)a].name, list[*(const int *)b].name);
}

static cnn_status sort_names(wiring *w) {
    cnn_draft *d = w->draft;
    w->by_name = cnn_malloc((size_t)d->count * sizeof *w->by_name);
    if (!w->by_name) return cnn_fail_memory((size_t)d->count * sizeof *w->by_name);
    for (int i = 0; i < d->count; i++) {
        w->by_name[i] = i;
        if (!d->entries[i].name)
            return cnn_fail(CNN_ERROR_FORMAT, "layer %d (%s) has no name", i + 1,
                            d->entries[i].layer->class->name);
    }
    qsort_r(w->by_name, (size_t)d->count, sizeof *w->by_name, compare_names, d->entries);
    for (int i = 1; i < d->count; i++)
        if (compare_names(&w->by_name[i - 1], &w->by_name[i], d->entries) == 0)
            return cnn_fail(CNN_ERROR_FORMAT, "two layers are named '%.60s'", d->entries[w->by_name[i]].name);
    return CNN_OK;
}

/* The position of the layer, or -1. */
static int find_entry(const wiring *w, const char *name) {
    int low = 0, high = w->draft->count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(w->draft->entries[w->by_name[middle]].name, name);
        if (order == 0) return w->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* ["conv2d", 0, 0] or ["conv2d", 0, 0, {…}] */
static bool is_reference(const cJSON *json) {
    return cJSON_IsArray(json) && cJSON_IsString(json->child);
}

static cnn_status add_source(wiring *w, const cJSON *list, bool in_list) {
    source s = {.in_list = in_list};
    const cJSON *name = list->child;
    if (strcmp(name->valuestring, "_CONSTANT_VALUE") == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "calls with constants are not supported");
    const cJSON *call = name->next, *output = call ? call->next : NULL;
    if (!cnn_json_whole(call, &s.call) || !cnn_json_whole(output, &s.output))
        return cnn_fail(CNN_ERROR_FORMAT, "a tensor must be told as [layer, call, output]");
    s.entry = find_entry(w, name->valuestring);
    if (s.entry < 0)
        return cnn_fail(CNN_ERROR_FORMAT, "there is no layer '%.60s' to take a tensor from",
                        name->valuestring);
    cnn_entry *e = &w->draft->entries[s.entry];
    if (in_list && s.call < e->lowest) e->lowest = s.call;
    CNN_TRY(cnn_list_grow((void **)&w->sources, w->n_sources, &w->source_capacity, sizeof s));
    w->sources[w->n_sources++] = s;
    return CNN_OK;
}

/* The keyword arguments of a call: only how it behaves in training may be said. */
static cnn_status read_keywords(layer_call *call, const cJSON *keywords) {
    const cJSON *item;
    if (!keywords || cJSON_IsNull(keywords)) return CNN_OK;
    if (!cJSON_IsObject(keywords)) return cnn_fail(CNN_ERROR_FORMAT, "a call's arguments must be an object");
    cJSON_ArrayForEach(item, keywords) {
        bool off = cJSON_IsFalse(item) || (cJSON_IsNumber(item) && item->valuedouble == 0);
        if (cJSON_IsNull(item)) continue;
        if (strcmp(item->string, "training") != 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "it is called with the argument '%.60s', which is not supported", item->string);
        if (!off)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "it is called with 'training' other than false, which is not supported");
        call->inference = true;
    }
    return CNN_OK;
}

/* Tensors in whatever lists they are; of Keras 3 also objects, whose class is then "__keras_tensor__". */
static cnn_status read_tensors(wiring *w, layer_call *call, const cJSON *json) {
    const cJSON *item;
    if (is_reference(json)) {
        CNN_TRY(add_source(w, json, true));
        return read_keywords(call, cJSON_GetArraySize(json) > 3 ? cJSON_GetArrayItem(json, 3) : NULL);
    }
    if (cnn_json_is(cnn_json_get(json, "class_name"), "__keras_tensor__")) {
        const cJSON *history = cnn_json_get(cnn_json_get(json, "config"), "keras_history");
        if (is_reference(history)) return add_source(w, history, false);
    }
    if (!cJSON_IsArray(json))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "it is called with something that is neither a tensor nor a list of them");
    cJSON_ArrayForEach(item, json) CNN_TRY(read_tensors(w, call, item));
    return CNN_OK;
}

static cnn_status read_arguments(wiring *w, layer_call *call, const cJSON *json) {
    if (!cJSON_IsObject(json)) return read_tensors(w, call, json);
    const cJSON *arguments = cnn_json_get(json, "args");
    if (!cJSON_IsArray(arguments) || !arguments->child)
        return cnn_fail(CNN_ERROR_FORMAT, "a call must have 'args'");
    for (const cJSON *other = arguments->child->next; other; other = other->next)
        if (!cJSON_IsNull(other))
            return cnn_fail(CNN_ERROR_ARGUMENT, "calls with several arguments are not supported");
    CNN_TRY(read_tensors(w, call, arguments->child));
    return read_keywords(call, cnn_json_get(json, "kwargs"));
}

static cnn_status add_call(wiring *w, int position, const cJSON *json) {
    layer_call call = {.entry = position, .first_source = w->n_sources};
    if (json) CNN_TRY(read_arguments(w, &call, json));
    call.n_sources = w->n_sources - call.first_source;
    if (json && (call.n_sources < 1 || call.n_sources > CNN_MAX_INPUTS))
        return cnn_fail(CNN_ERROR_FORMAT, "it is called with %d tensors", call.n_sources);
    CNN_TRY(cnn_list_grow((void **)&w->calls, w->n_calls, &w->call_capacity, sizeof call));
    w->calls[w->n_calls++] = call;
    w->draft->entries[position].n_calls++;
    return CNN_OK;
}

/* An input stands for itself, as if it had been called on nothing. */
static cnn_status add_calls(wiring *w, int position) {
    cnn_entry *e = &w->draft->entries[position];
    const cJSON *nodes = cnn_json_get(e->json, "inbound_nodes"), *node;
    bool input = strcmp(e->layer->class->name, "InputLayer") == 0;
    e->first_call = w->n_calls;
    if (nodes && !cJSON_IsArray(nodes))
        return cnn_fail(CNN_ERROR_FORMAT, "its 'inbound_nodes' must be a list");
    if (input) return add_call(w, position, NULL);
    cJSON_ArrayForEach(node, nodes) CNN_TRY(add_call(w, position, node));
    bool counted = e->layer->class == &cnn_functional_class.class ||
                   (e->layer->class == &cnn_sequential_class.class && nodes && cJSON_IsArray(nodes->child));
    e->called_before = counted; /* settled when all that refer to it are known */
    return CNN_OK;
}

/* The tensors of input_layers or output_layers: one, a list, or an object by names. */
static cnn_status add_ends(wiring *w, const cJSON *json) {
    const cJSON *item;
    if (is_reference(json)) return add_source(w, json, true);
    if (!cJSON_IsArray(json) && !cJSON_IsObject(json))
        return cnn_fail(CNN_ERROR_FORMAT, "its inputs and outputs must be lists");
    cJSON_ArrayForEach(item, json) CNN_TRY(add_ends(w, item));
    return CNN_OK;
}

/* ---- making it ------------------------------------------------------------------------------- */

static cnn_status find_call(const wiring *w, const source *s, int *index) {
    const cnn_entry *e = &w->draft->entries[s->entry];
    int call = s->call - (s->in_list && e->called_before && e->lowest > 0);
    int outputs = cnn_layer_output_count(e->layer);
    if (call < 0 || call >= e->n_calls || s->output < 0 || s->output >= outputs)
        return cnn_fail(CNN_ERROR_FORMAT, "layer '%.60s' has no output %d of call %d to take a tensor from",
                        e->name, s->output, s->call);
    *index = e->first_call + call;
    return CNN_OK;
}

/* The sources of the call, all of which are made. */
static void collect_sources(const wiring *w, const layer_call *call, cnn_tensor **inputs) {
    for (int i = 0; i < call->n_sources; i++) {
        const source *s = &w->sources[call->first_source + i];
        int index = 0;
        find_call(w, s, &index);
        inputs[i] = w->calls[index].made[s->output];
    }
}

static cnn_status make_call(wiring *w, layer_call *call) {
    cnn_entry *e = &w->draft->entries[call->entry];
    cnn_tensor *inputs[CNN_MAX_INPUTS];
    int outputs = cnn_layer_output_count(e->layer);
    cnn_tensor **made = cnn_calloc((size_t)outputs * sizeof *made);
    if (!made) return cnn_fail_memory((size_t)outputs * sizeof *made);
    collect_sources(w, call, inputs);
    cnn_status status;
    if (call->n_sources == 0)
        status = cnn_input_from_layer(made, e->layer);
    else if (call->inference)
        status = cnn_layer_call_inference(made, e->layer, inputs, call->n_sources);
    else
        status = cnn_layer_call_all(made, e->layer, inputs, call->n_sources, false);
    if (status == CNN_OK)
        call->made = made;
    else
        cnn_free(made);
    return status;
}

/* The call of a source that is not made yet, or -1. */
static cnn_status next_source(const wiring *w, const layer_call *call, int *index) {
    for (int i = 0; i < call->n_sources; i++) {
        CNN_TRY(find_call(w, &w->sources[call->first_source + i], index));
        if (!w->calls[*index].made) return CNN_OK;
    }
    *index = -1;
    return CNN_OK;
}

/* Makes a call after all that it depends on; the way there is kept in stack, which has room for every call. */
static cnn_status make_with_sources(wiring *w, int index, int *stack) {
    int depth = 0;
    stack[depth++] = index;
    while (depth > 0) {
        layer_call *call = &w->calls[stack[depth - 1]];
        int before = -1;
        call->entered = true;
        CNN_TRY(next_source(w, call, &before));
        if (before < 0) {
            CNN_TRY(make_call(w, call));
            depth--;
        } else if (w->calls[before].entered) {
            return cnn_fail(CNN_ERROR_FORMAT,
                            "layers depend on each other in a circle; one of them is '%.60s'",
                            w->draft->entries[call->entry].name);
        } else {
            stack[depth++] = before;
        }
    }
    return CNN_OK;
}

static cnn_status make_calls(wiring *w) {
    int *stack = cnn_malloc((size_t)w->n_calls * sizeof *stack);
    if (!stack) return cnn_fail_memory((size_t)w->n_calls * sizeof *stack);
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < w->n_calls; i++)
        if (!w->calls[i].made) status = make_with_sources(w, i, stack);
    cnn_free(stack);
    return status;
}

/* The order in which the file has the layers is Keras's, by which weights without names are told apart too. */
static void order_layers(cnn_model *model, const cnn_draft *d) {
    int ordered = 0;
    for (int i = 0; i < d->count; i++)
        for (int k = ordered; k < model->layer_count; k++)
            if (model->layers[k] == d->entries[i].layer) {
                model->layers[k] = model->layers[ordered];
                model->layers[ordered++] = d->entries[i].layer;
            }
    int count = 0;
    cnn_variable **list = model->layer.variables;
    for (int i = 0; i < model->layer_count; i++)
        for (int k = 0; k < model->layers[i]->variable_count; k++) {
            cnn_variable *variable = model->layers[i]->variables[k];
            int at = 0;
            while (at < count && list[at] != variable) at++;
            if (at == count) list[count++] = variable;
        }
}

static cnn_status read_wiring(wiring *w, int64_t *cost) {
    cnn_draft *d = w->draft;
    CNN_TRY(sort_names(w));
    for (int i = 0; i < d->count; i++) {
        cnn_status status = add_calls(w, i);
        if (status == CNN_OK)
            status = cnn_draft_expect_calls(d->reader, d->entries[i].cost * d->entries[i].n_calls, cost);
        if (status == CNN_OK) continue;
        char who[96];
        snprintf(who, sizeof who, "layer '%.60s'", d->entries[i].name);
        return cnn_fail_in(status, who);
    }
    return CNN_OK;
}

static cnn_status wire(cnn_model **out, wiring *w, const cJSON *config, int64_t *cost) {
    layer_call ends[2] = {{0}, {0}};
    const char *const keys[] = {"input_layers", "output_layers"};
    cnn_tensor *tensors[2][CNN_MAX_INPUTS];
    CNN_TRY(read_wiring(w, cost));
    for (int i = 0; i < 2; i++) {
        ends[i].first_source = w->n_sources;
        CNN_TRY(add_ends(w, cnn_json_get(config, keys[i])));
        ends[i].n_sources = w->n_sources - ends[i].first_source;
        if (ends[i].n_sources < 1 || ends[i].n_sources > CNN_MAX_INPUTS)
            return cnn_fail(CNN_ERROR_FORMAT, "'%s' must name 1 to %d tensors", keys[i], CNN_MAX_INPUTS);
    }
    CNN_TRY(make_calls(w));
    for (int i = 0; i < 2; i++) {
        int missing = -1;
        CNN_TRY(next_source(w, &ends[i], &missing));
        collect_sources(w, &ends[i], tensors[i]);
    }
    CNN_TRY(cnn_functional_new(out, w->draft->name, tensors[0], ends[0].n_sources, tensors[1],
                               ends[1].n_sources));
    order_layers(*out, w->draft);
    return CNN_OK;
}

static void free_wiring(wiring *w) {
    for (int i = 0; i < w->n_calls; i++) {
        const cnn_entry *e = &w->draft->entries[w->calls[i].entry];
        for (int k = 0; w->calls[i].made && k < cnn_layer_output_count(e->layer); k++)
            cnn_tensor_release(w->calls[i].made[k]);
        cnn_free(w->calls[i].made);
    }
    cnn_free(w->calls);
    cnn_free(w->sources);
    cnn_free(w->by_name);
}

cnn_status cnn_draft_wire(cnn_model **out, cnn_draft *d, const cJSON *config, int64_t *cost) {
    wiring w = {.draft = d};
    cnn_status status = wire(out, &w, config, cost);
    free_wiring(&w);
    return status;
}
