/* summary(): the table of layers, output shapes and parameter counts, in Keras's layout of its 2.x series. */
#include "model/model.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

enum { MAX_COLUMNS = 4 };

typedef struct table {
    cnn_text text;
    size_t width;
    int columns;
    size_t ends[MAX_COLUMNS]; /* where each column ends */
} table;

/* The results of the layer calls of a model, inputs first. */
typedef struct results {
    const cnn_tensor **items;
    int count, capacity;
} results;

static cnn_status collect(results *r, const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    if (!call) return CNN_OK;
    for (int i = 0; i < r->count; i++)
        if (r->items[i] == tensor) return CNN_OK;
    for (int i = 0; i < call->n_inputs; i++) CNN_TRY(collect(r, call->inputs[i]));
    if (r->count == r->capacity) {
        int wider = r->capacity ? 2 * r->capacity : 32;
        void *grown = cnn_realloc(r->items, (size_t)wider * sizeof *r->items);
        if (!grown) return cnn_fail_memory((size_t)wider * sizeof *r->items);
        r->items = grown;
        r->capacity = wider;
    }
    r->items[r->count++] = tensor;
    return CNN_OK;
}

/* Every layer called once, on one tensor that nothing else reads: then no column of connections is needed. */
static bool is_chain(const cnn_model *model, const results *r) {
    if (model->sequential) return true;
    for (int i = 0; i < r->count; i++) {
        const cnn_call *call = cnn_call_of(r->items[i]);
        if (call->n_inputs > 1) return false;
        for (int j = 0; j < i; j++) {
            const cnn_call *other = cnn_call_of(r->items[j]);
            if (other->layer == call->layer) return false;
            if (call->n_inputs == 0 && other->n_inputs == 0) return false;
            if (call->n_inputs == 1 && other->n_inputs == 1 && call->inputs[0] == other->inputs[0])
                return false;
        }
    }
    return true;
}

/* ---- drawing --------------------------------------------------------------------------------------------- */

static void rule(table *t, char fill) {
    cnn_text_pad(&t->text, t->width, fill);
    cnn_text_add(&t->text, "\n");
}

/* Fields cut to their columns, one blank at least between them. */
static void row(table *t, const char *const *fields) {
    size_t start = 0;
    for (int i = 0; i < t->columns; i++) {
        size_t room = t->ends[i] - start - (i + 1 < t->columns ? 1 : 0);
        cnn_text_add(&t->text, "%.*s", (int)room, fields[i]);
        cnn_text_pad(&t->text, t->ends[i], ' ');
        start = t->ends[i];
    }
    cnn_text_add(&t->text, "\n");
}

static int64_t params_of(const cnn_layer *layer) {
    int64_t count = 0;
    for (int i = 0; i < layer->variable_count; i++) count += layer->variables[i]->value->size;
    return count;
}

/* All results of one layer: a list in brackets if there are several, or for an input. */
static void output_shape(char *out, size_t capacity, const results *r, const cnn_layer *layer) {
    char shape[CNN_SHAPE_TEXT];
    bool input = strcmp(layer->class->name, "InputLayer") == 0;
    for (int i = 0; i < r->count; i++) {
        if (cnn_call_of(r->items[i])->layer != layer) continue;
        cnn_shape_text(shape, sizeof shape, r->items[i]->rank, r->items[i]->shape);
        snprintf(out, capacity, input ? "[%s]" : "%s", shape);
        return;
    }
    snprintf(out, capacity, "?");
}

/* Row of one layer; with connections, a further row for each input after the first. */
static void layer_rows(table *t, const results *r, const cnn_layer *layer) {
    char name[160], shape[CNN_SHAPE_TEXT + 2], count[32], from[160] = "";
    snprintf(name, sizeof name, "%s (%s)", layer->name, layer->class->name);
    output_shape(shape, sizeof shape, r, layer);
    snprintf(count, sizeof count, "%lld", (long long)params_of(layer));
    const char *fields[MAX_COLUMNS] = {name, shape, count, from};
    bool first = true;
    for (int i = 0; t->columns > 3 && i < r->count; i++) {
        const cnn_call *call = cnn_call_of(r->items[i]);
        for (int j = 0; call->layer == layer && j < call->n_inputs; j++) {
            const cnn_call *source = cnn_call_of(call->inputs[j]);
            snprintf(from, sizeof from, "%s[0][0]", source ? source->layer->name : "input");
            row(t, fields);
            fields[0] = fields[1] = fields[2] = "";
            first = false;
        }
    }
    if (first) row(t, fields);
}

static void totals(table *t, const cnn_model *model) {
    int64_t trainable = 0, all = 0;
    for (int i = 0; i < model->layer.variable_count; i++) {
        const cnn_tensor *value = model->layer.variables[i]->value;
        all += value->size;
        if (value->trainable) trainable += value->size;
    }
    char number[32];
    cnn_text_add(&t->text, "Total params: %s\n", cnn_thousands(number, sizeof number, all));
    cnn_text_add(&t->text, "Trainable params: %s\n", cnn_thousands(number, sizeof number, trainable));
    cnn_text_add(&t->text, "Non-trainable params: %s\n",
                 cnn_thousands(number, sizeof number, all - trainable));
}

static void draw(table *t, const cnn_model *model, const results *r) {
    static const char *const header[MAX_COLUMNS] = {"Layer (type)", "Output Shape", "Param #",
                                                    "Connected to"};
    cnn_text_add(&t->text, "Model: \"%s\"\n", model->layer.name);
    rule(t, '_');
    row(t, header);
    rule(t, '=');
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        layer_rows(t, r, layer);
        rule(t, i + 1 < model->layer_count ? '_' : '=');
    }
    totals(t, model);
    rule(t, '_');
}

cnn_status cnn_model_summary(char **out, const cnn_model *model, int line_length) {
    CNN_TRY(cnn_model_expect_built(model, "summary"));
    results r = {0};
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < model->n_inputs; i++) status = collect(&r, model->inputs[i]);
    for (int i = 0; status == CNN_OK && i < model->n_outputs; i++) status = collect(&r, model->outputs[i]);
    if (status == CNN_OK) {
        static const double chain_ends[] = {.45, .85, 1}, connected_ends[] = {.33, .55, .67, 1};
        bool chain = is_chain(model, &r);
        table t = {.width = line_length > 0 ? (size_t)line_length
                            : chain         ? 65
                                            : 98,
                   .columns = chain ? 3 : 4};
        for (int i = 0; i < t.columns; i++)
            t.ends[i] = (size_t)((double)t.width * (chain ? chain_ends[i] : connected_ends[i]));
        draw(&t, model, &r);
        *out = cnn_text_take(&t.text);
        if (!*out) status = cnn_fail_memory(1024);
    }
    cnn_free(r.items);
    return status;
}
