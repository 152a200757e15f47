/* summary(): the table of layers, output shapes and parameter counts, in Keras's layout of its 2.x series. */
#include "model/model.h"
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

enum { MAX_COLUMNS = 5, TRAINABLE_WIDTH = 11 };

typedef struct table {
    cnn_text text;
    size_t width;
    int columns;
    bool connections;         /* a column tells what each layer is called on */
    bool trainable;           /* the last one, whether it can change */
    size_t ends[MAX_COLUMNS]; /* where each column ends */
} table;

/* Every layer called once, on one tensor that nothing else reads: then no column of connections is needed. */
static cnn_status is_chain(bool *out, const cnn_model *model, const cnn_graph *g) {
    int *reads = cnn_calloc((size_t)g->count * sizeof *reads), calls = 0;
    if (!reads) return cnn_fail_memory((size_t)g->count * sizeof *reads);
    *out = model->sequential || model->n_inputs == 1;
    for (int i = 0; i < g->count && !model->sequential; i++) {
        cnn_tensor *const *sources;
        int count = i < model->n_inputs ? 0 : cnn_graph_sources(&sources, g->tensors[i], CNN_EDGES_LAYERS);
        if (cnn_graph_starts_call(g, i)) calls++;
        if (count > 1 || (count == 1 && reads[cnn_graph_find(g, sources[0])]++ > 0)) *out = false;
    }
    if (calls > model->layer_count) *out = false;
    cnn_free(reads);
    return CNN_OK;
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

/* "[(None, 3), (None, 1)]" */
static void output_shapes(char *out, size_t capacity, const cnn_model *model) {
    char shape[CNN_SHAPE_TEXT];
    size_t length = 0;
    for (int i = 0; i < model->n_outputs && length + 1 < capacity; i++) {
        cnn_shape_text(shape, sizeof shape, model->outputs[i]->rank, model->outputs[i]->shape);
        length += (size_t)snprintf(out + length, capacity - length, "%s%s%s", i == 0 ? "[" : ", ", shape,
                                   i + 1 == model->n_outputs ? "]" : "");
    }
}

/* The results of a layer's first call: a list in brackets for an input, and for several. */
static void output_shape(char *out, size_t capacity, const cnn_graph *g, const cnn_layer *layer) {
    char shape[CNN_SHAPE_TEXT];
    bool input = strcmp(layer->class->name, "InputLayer") == 0;
    if (cnn_layer_output_count(layer) > 1) {
        output_shapes(out, capacity, (const cnn_model *)layer); /* only models have several */
        return;
    }
    snprintf(out, capacity, "?");
    for (int i = 0; i < g->count; i++) {
        const cnn_call *call = cnn_call_of(g->tensors[i]);
        if (!call || call->layer != layer) continue;
        cnn_shape_text(shape, sizeof shape, g->tensors[i]->rank, g->tensors[i]->shape);
        snprintf(out, capacity, input ? "[%s]" : "%s", shape);
        return;
    }
}

/* Row of one layer; with connections, a further row for each input after the first. */
static void layer_rows(table *t, const cnn_graph *g, const cnn_layer *layer) {
    char name[160], shape[CNN_SHAPE_TEXT + 2], count[32], from[160] = "";
    snprintf(name, sizeof name, "%s (%s)", layer->name, layer->class->name);
    output_shape(shape, sizeof shape, g, layer);
    snprintf(count, sizeof count, "%lld", (long long)params_of(layer));
    const char *fields[MAX_COLUMNS] = {name, shape, count, from};
    if (t->trainable) fields[t->columns - 1] = layer->trainable ? "Y" : "N";
    bool first = true;
    for (int i = 0; t->connections && i < g->count; i++) {
        const cnn_call *call = cnn_call_of(g->tensors[i]);
        if (!call || call->layer != layer || !cnn_graph_starts_call(g, i)) continue;
        for (int j = 0; j < call->n_inputs; j++) {
            const cnn_call *source = cnn_call_of(call->inputs[j]);
            const cnn_node *node = call->inputs[j]->node;
            snprintf(from, sizeof from, "%.128s[%d][%d]",
                     source             ? source->layer->name
                     : node && node->op ? node->op->class.name
                                        : "input",
                     source ? cnn_graph_call_index(g, call->inputs[j]) : 0, cnn_call_output(call->inputs[j]));
            row(t, fields);
            fields[0] = fields[1] = fields[2] = "";
            if (t->trainable) fields[t->columns - 1] = "";
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

static void draw(table *t, const cnn_model *model, const cnn_graph *g) {
    const char *header[MAX_COLUMNS] = {"Layer (type)", "Output Shape", "Param #", "Connected to"};
    if (t->trainable) header[t->columns - 1] = "Trainable";
    cnn_text_add(&t->text, "Model: \"%s\"\n", model->layer.name);
    rule(t, '_');
    row(t, header);
    rule(t, '=');
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        layer_rows(t, g, layer);
        rule(t, i + 1 < model->layer_count ? '_' : '=');
    }
    totals(t, model);
    rule(t, '_');
}

static cnn_status write_summary(char **out, const cnn_model *model, const cnn_graph *g, int line_length,
                                bool show_trainable) {
    static const double chain_ends[] = {.45, .85, 1}, connected_ends[] = {.33, .55, .67, 1};
    bool chain = false;
    CNN_TRY(is_chain(&chain, model, g));
    table t = {.width = line_length > 0 ? (size_t)line_length
                        : chain         ? 65
                                        : 98,
               .connections = !chain,
               .trainable = show_trainable};
    for (; t.columns < (chain ? 3 : 4); t.columns++)
        t.ends[t.columns] = (size_t)((double)t.width * (chain ? chain_ends : connected_ends)[t.columns]);
    if (show_trainable) t.ends[t.columns++] = t.width += TRAINABLE_WIDTH;
    draw(&t, model, g);
    *out = cnn_text_take(&t.text);
    return *out ? CNN_OK : cnn_fail_memory(1024);
}

cnn_status cnn_model_summary(char **out, const cnn_model *model, int line_length, bool show_trainable) {
    CNN_TRY(cnn_model_expect_built(model, "summary"));
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_LAYERS, model->inputs, model->n_inputs,
                                       model->outputs, model->n_outputs);
    if (status == CNN_OK) status = write_summary(out, model, &graph, line_length, show_trainable);
    cnn_graph_free(&graph);
    return status;
}
