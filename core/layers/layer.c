#include "layers/layer.h"
#include "layers/initializer.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/shape.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------------- */

/* How often each class was named so far, in this thread: "conv2d", then "conv2d_1". */
static _Thread_local struct {
    const cnn_class *class;
    int count;
} name_counts[256];

void cnn_clear_session(void) {
    memset(name_counts, 0, sizeof name_counts);
}

static char *next_name(const cnn_class *class) {
    int slot = 0, last = (int)(sizeof name_counts / sizeof *name_counts) - 1;
    while (slot < last && name_counts[slot].class && name_counts[slot].class != class) slot++;
    name_counts[slot].class = class;
    int count = name_counts[slot].count;
    char base[64], name[80];
    cnn_snake_case(base, sizeof base, class->name);
    if (count > 0)
        snprintf(name, sizeof name, "%s_%d", base, count);
    else
        snprintf(name, sizeof name, "%s", base);
    char *copy = cnn_strdup(name);
    if (copy) name_counts[slot].count++;
    return copy;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static const cnn_layer_class *class_of(const cnn_layer *layer) {
    return (const cnn_layer_class *)layer->class;
}

cnn_status cnn_layer_create(cnn_layer **out, const cnn_class *class, const cJSON *config) {
    void *object;
    CNN_TRY(cnn_object_new(&object, class, config));
    cnn_layer *layer = object;
    layer->refs = 1;
    cnn_status status = CNN_OK;
    if (layer->batch_input_shape.rank > 0 && layer->input_shape.rank < 0) {
        layer->input_shape.rank = layer->batch_input_shape.rank - 1;
        memcpy(layer->input_shape.sizes, layer->batch_input_shape.sizes + 1,
               (size_t)layer->input_shape.rank * sizeof(int64_t));
    }
    if (((const cnn_layer_class *)class)->init) status = ((const cnn_layer_class *)class)->init(layer);
    if (status == CNN_OK && !layer->name && !(layer->name = next_name(class))) status = cnn_fail_memory(80);
    if (status != CNN_OK)
        cnn_layer_release(layer);
    else
        *out = layer;
    return status;
}

cnn_status cnn_layer_new(cnn_layer **out, const char *class_name, const char *config) {
    const cnn_class *class;
    CNN_TRY(cnn_class_find(&class, cnn_layer_classes, class_name));
    cJSON *json;
    CNN_TRY(cnn_json_parse(&json, class->name, config));
    cnn_status status = cnn_layer_create(out, class, json);
    cJSON_Delete(json);
    return status;
}

cnn_layer *cnn_layer_retain(cnn_layer *layer) {
    __atomic_add_fetch(&layer->refs, 1, __ATOMIC_RELAXED);
    return layer;
}

static void drop_variables(cnn_layer *layer) {
    for (int i = 0; i < layer->variable_count; i++) cnn_variable_release(layer->variables[i]);
    cnn_free(layer->variables);
    layer->variables = NULL;
    layer->variable_count = 0;
}

void cnn_layer_release(cnn_layer *layer) {
    if (!layer || __atomic_sub_fetch(&layer->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (class_of(layer)->close) class_of(layer)->close(layer);
    drop_variables(layer);
    cnn_object_free(layer);
}

const char *const *cnn_layer_names(void) {
    static const char *names[128];
    for (int i = 0; cnn_layer_classes[i] && i < 127; i++) names[i] = cnn_layer_classes[i]->name;
    return names;
}

const char *cnn_layer_name(const cnn_layer *layer) {
    return layer->name;
}

const char *cnn_layer_class_name(const cnn_layer *layer) {
    return layer->class->name;
}

bool cnn_layer_trainable(const cnn_layer *layer) {
    return layer->trainable;
}

int cnn_layer_variable_count(const cnn_layer *layer) {
    return layer->variable_count;
}

cnn_variable *cnn_layer_variable(const cnn_layer *layer, int index) {
    return index >= 0 && index < layer->variable_count ? layer->variables[index] : NULL;
}

cJSON *cnn_layer_config_json(const cnn_layer *layer) {
    return cnn_object_config(layer);
}

cnn_status cnn_layer_keras_config(cJSON **out, const cnn_layer *layer, cnn_keras keras) {
    if (class_of(layer)->config) return class_of(layer)->config(out, layer, keras);
    cJSON *config = cnn_object_config_as(layer, keras);
    if (!config) return cnn_fail_memory(256);
    *out = config;
    return CNN_OK;
}

cnn_status cnn_layer_config(char **out, const cnn_layer *layer) {
    char *text = cnn_json_print(cnn_layer_config_json(layer));
    if (!text) return cnn_fail_memory(256);
    *out = text;
    return CNN_OK;
}

/* ---- arguments of several layers ------------------------------------------------------------------------- */

/* "float32", {"class_name": "Policy", "config": {"name": "float32"}}, or the same with "DTypePolicy". */
const char *cnn_policy_name(const cJSON *dtype) {
    if (!dtype || cJSON_IsNull(dtype)) return "float32";
    if (cJSON_IsString(dtype)) return dtype->valuestring;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(dtype, "config");
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(config, "name"));
}

static cnn_status check_policy(const cJSON *dtype) {
    static const char names[] = "float32 float16 bfloat16 float64 mixed_float16 mixed_bfloat16";
    const char *name = cnn_policy_name(dtype);
    if (name && cnn_choice_find(names, name) >= 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "expected one of %s, got %.60s", names,
                    name ? name : "something without a name");
}

/* Keras 2 writes a policy only where computing and weights differ in type. */
static cJSON *write_policy(const cJSON *dtype, cnn_keras keras) {
    const char *name = cnn_policy_name(dtype);
    if (keras == CNN_KERAS_2 && strncmp(name, "mixed_", 6) != 0) return cJSON_CreateString(name);
    cJSON *config = cJSON_CreateObject();
    if (!config || !cJSON_AddStringToObject(config, "name", name)) {
        cJSON_Delete(config);
        return NULL;
    }
    return cnn_keras_object(keras == CNN_KERAS_2 ? "Policy" : "DTypePolicy", config, "keras", keras);
}

const cnn_param_spec cnn_policy_spec = {check_policy, write_policy};

/* A count for both ends of an axis, or two. */
static bool read_ends(const cJSON *spec, int ends[2]) {
    bool two = cJSON_IsArray(spec);
    if (two && cJSON_GetArraySize(spec) != 2) return false;
    const cJSON *list[] = {two ? spec->child : spec, two ? spec->child->next : spec};
    for (int i = 0; i < 2; i++) {
        if (!cJSON_IsNumber(list[i]) || list[i]->valuedouble != list[i]->valueint) return false;
        if (list[i]->valueint < 0 || list[i]->valueint == INT_MAX) return false;
        ends[i] = list[i]->valueint;
    }
    return true;
}

bool cnn_sides_read(const cJSON *spec, int sides[4]) {
    bool two = cJSON_IsArray(spec);
    if (two && cJSON_GetArraySize(spec) != 2) return false;
    return read_ends(two ? spec->child : spec, sides) && read_ends(two ? spec->child->next : spec, sides + 2);
}

static cnn_status check_sides(const cJSON *spec) {
    int sides[4];
    if (cnn_sides_read(spec, sides)) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    "expected a count, {rows, columns} or {{top, bottom}, {left, right}}");
}

static cJSON *write_sides(const cJSON *spec, cnn_keras keras) {
    int sides[4];
    (void)keras;
    if (!cnn_sides_read(spec, sides)) return NULL;
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < 4; i += 2) {
        cJSON *ends = cJSON_CreateIntArray(sides + i, 2);
        if (ends && cJSON_AddItemToArray(list, ends)) continue;
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}

const cnn_param_spec cnn_sides_spec = {check_sides, write_sides};

/* ---- variables ----------------------------------------------------------------------------------------- */

void cnn_variable_release(cnn_variable *variable) {
    if (!variable || __atomic_sub_fetch(&variable->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    cnn_tensor_release(variable->value);
    cnn_free(variable->name);
    cnn_free(variable);
}

static _Thread_local int64_t weight_budget = INT64_MAX;

int64_t cnn_layer_weight_budget(int64_t bytes) {
    int64_t before = weight_budget;
    weight_budget = bytes;
    return before;
}

static cnn_status spend_budget(const char *name, int rank, const int64_t *shape) {
    char text[CNN_SHAPE_TEXT];
    int64_t size = cnn_shape_size(name, CNN_FLOAT32, rank, shape);
    if (size < 0) return CNN_ERROR_SHAPE;
    if (size > weight_budget / (int64_t)sizeof(float))
        return cnn_fail(CNN_ERROR_SHAPE,
                        "'%s' of shape %s is more than a model from a file may have in weights", name,
                        cnn_shape_text(text, sizeof text, rank, shape));
    if (weight_budget < INT64_MAX) weight_budget -= size * (int64_t)sizeof(float);
    return CNN_OK;
}

static cnn_status new_variable(cnn_variable **out, const char *name, int rank, const int64_t *shape,
                               const cJSON *initializer, const cJSON *regularizer, bool trainable) {
    CNN_TRY(spend_budget(name, rank, shape));
    cnn_variable *v = cnn_calloc(sizeof *v);
    if (!v) return cnn_fail_memory(sizeof *v);
    v->refs = 1;
    v->trainable = trainable;
    cnn_status status = (v->name = cnn_strdup(name)) ? CNN_OK : cnn_fail_memory(strlen(name));
    if (status == CNN_OK) status = cnn_tensor_alloc(&v->value, CNN_FLOAT32, rank, shape);
    if (status == CNN_OK) status = cnn_regularizer_read(regularizer, &v->l1, &v->l2);
    if (status == CNN_OK) status = cnn_initializer_fill(initializer, NULL, cnn_f32(v->value), rank, shape);
    if (status != CNN_OK) {
        cnn_variable_release(v);
        return status;
    }
    v->value->trainable = trainable;
    *out = v;
    return CNN_OK;
}

cnn_status cnn_layer_add_variable(cnn_variable **out, cnn_layer *layer, const char *name, int rank,
                                  const int64_t *shape, const cJSON *initializer, const cJSON *regularizer,
                                  bool trainable) {
    size_t bytes = (size_t)(layer->variable_count + 1) * sizeof *layer->variables;
    cnn_variable **grown = cnn_realloc(layer->variables, bytes);
    if (!grown) return cnn_fail_memory(bytes);
    layer->variables = grown;
    cnn_variable *variable = NULL;
    CNN_TRY(new_variable(&variable, name, rank, shape, initializer, regularizer, trainable));
    variable->value->trainable = trainable && layer->trainable;
    layer->variables[layer->variable_count++] = variable;
    *out = variable;
    return CNN_OK;
}

void cnn_layer_set_trainable(cnn_layer *layer, bool trainable) {
    layer->trainable = trainable;
    if (class_of(layer)->set_trainable) class_of(layer)->set_trainable(layer, trainable);
    for (int i = 0; i < layer->variable_count; i++)
        layer->variables[i]->value->trainable = trainable && layer->variables[i]->trainable;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

/* The message that stands, without the name it begins with if that is one of the layer's class or of its op. */
static void message_without_name(const cnn_layer *layer, const char *base, char *buffer, size_t capacity) {
    const char *message = cnn_error_message();
    const cnn_op *op = cnn_layer_op(layer);
    const char *names[] = {base, layer->class->name, op ? op->class.name : base};
    size_t skip = 0;
    for (int i = 0; i < 3 && skip == 0; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(message, names[i], length) == 0 && strncmp(message + length, ": ", 2) == 0)
            skip = length + 2;
    }
    snprintf(buffer, capacity, "%s", message + skip);
}

/* Puts the layer before the message: its class, and its name where that is not the default. */
static cnn_status fail_in_layer(const cnn_layer *layer, cnn_status status) {
    char base[64], who[160], message[1024];
    cnn_snake_case(base, sizeof base, layer->class->name);
    message_without_name(layer, base, message, sizeof message);
    if (layer->name && strncmp(layer->name, base, strlen(base)) != 0)
        snprintf(who, sizeof who, "%s '%.80s'", layer->class->name, layer->name);
    else
        snprintf(who, sizeof who, "%s", layer->name ? layer->name : layer->class->name);
    return cnn_fail(status, "%s: %s", who, message);
}

cnn_status cnn_layer_argument(const cnn_layer *layer, const char *argument, cnn_status status) {
    char who[96];
    if (status == CNN_OK) return CNN_OK;
    snprintf(who, sizeof who, "%s: '%s'", layer->class->name, argument);
    return cnn_fail_in(status, who);
}

cnn_status cnn_layer_expect_rank(const cnn_layer *layer, const cnn_tensor *input, int rank,
                                 const char *axes) {
    char shape[CNN_SHAPE_TEXT];
    if (input->rank == rank) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected %d axes %s, got an input of shape %s", layer->class->name,
                    rank, axes, cnn_shape_text(shape, sizeof shape, input->rank, input->shape));
}

int cnn_layer_seed(cnn_layer *layer, int given) {
    layer->seeded = given != INT_MIN;
    return given != INT_MIN ? given : (int)(cnn_random_bits(cnn_default_random()) & INT_MAX);
}

cnn_status cnn_layer_check_steps(const cnn_layer *layer, const int strides[2], const int dilation_rate[2]) {
    if ((strides[0] > 1 || strides[1] > 1) && (dilation_rate[0] > 1 || dilation_rate[1] > 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: strides > 1 cannot go with dilation_rate > 1",
                        layer->class->name);
    return CNN_OK;
}

static void release_call(cnn_call *call) {
    if (__atomic_sub_fetch(&call->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (int i = 0; i < call->n_inputs; i++) cnn_tensor_release(call->inputs[i]);
    cnn_free(call->inputs);
    cnn_free(call->outputs);
    cnn_layer_release(call->layer);
    cnn_free(call);
}

const cnn_call *cnn_call_of(const cnn_tensor *tensor) {
    return tensor->node ? tensor->node->call : NULL;
}

int cnn_call_output(const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    for (int i = 0; call && i < call->n_outputs; i++)
        if (call->outputs[i] == tensor) return i;
    return 0;
}

static cnn_status new_call(cnn_call **out, cnn_layer *layer, cnn_tensor *const *inputs, int n_inputs,
                           int n_outputs) {
    cnn_call *call = cnn_calloc(sizeof *call);
    cnn_tensor **list = cnn_malloc((size_t)n_inputs * sizeof *list);
    const cnn_tensor **outputs = cnn_calloc((size_t)n_outputs * sizeof *outputs);
    if (!call || !list || !outputs) {
        cnn_free(call);
        cnn_free(list);
        cnn_free(outputs);
        return cnn_fail_memory(sizeof *call);
    }
    for (int i = 0; i < n_inputs; i++) list[i] = cnn_tensor_retain(inputs[i]);
    *call = (cnn_call){.refs = 1,
                       .layer = cnn_layer_retain(layer),
                       .n_inputs = n_inputs,
                       .inputs = list,
                       .n_outputs = n_outputs,
                       .outputs = outputs};
    cnn_call_release_hook = release_call;
    *out = call;
    return CNN_OK;
}

static void set_result(cnn_call *call, int output, const cnn_tensor *result) {
    if (result->node->call) release_call(result->node->call);
    call->refs++;
    call->outputs[output] = result;
    result->node->call = call;
}

cnn_status cnn_call_record(cnn_tensor *result, cnn_layer *layer, cnn_tensor *const *inputs, int n_inputs) {
    cnn_call *call;
    CNN_TRY(new_call(&call, layer, inputs, n_inputs, 1));
    set_result(call, 0, result);
    release_call(call);
    return CNN_OK;
}

/* A layer may give its input back as it is, or what another layer made; where the call is recorded, a result of its own
 * is needed. */
static cnn_status own_result(cnn_tensor **result, cnn_tensor *const *inputs, int n_inputs) {
    bool is_own = !(*result)->node->call && (*result)->node->op;
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i] == *result) is_own = false;
    if (is_own) return CNN_OK;
    cnn_tensor *own;
    CNN_TRY(cnn_op_apply(&own, &cnn_op_identity, NULL, result, 1, false));
    cnn_tensor_release(*result);
    *result = own;
    return CNN_OK;
}

static cnn_status build_for(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    if (layer->built) return CNN_OK;
    bool before = cnn_ops_as_inference(false); /* a model's own wiring is not of this call alone */
    cnn_status status = class_of(layer)->build ? class_of(layer)->build(layer, inputs, n_inputs) : CNN_OK;
    cnn_ops_as_inference(before);
    layer->built = status == CNN_OK;
    if (status != CNN_OK) drop_variables(layer);
    return status;
}

/* Whether the weights that are there fit such an input. */
static cnn_status try_call(cnn_layer *layer, cnn_tensor *input) {
    cnn_tensor *result = NULL;
    cnn_status status = cnn_layer_call(&result, layer, &input, 1, false);
    cnn_tensor_release(result);
    return status;
}

cnn_status cnn_layer_build(cnn_layer *layer, int rank, const int64_t *shape) {
    cnn_tensor *input;
    if (rank < 1)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: build expects a shape with a batch axis", layer->class->name);
    CNN_TRY(cnn_symbolic_input(&input, rank - 1, shape + 1, CNN_FLOAT32));
    bool again = layer->built && class_of(layer)->min_inputs == 1;
    cnn_status status = build_for(layer, (const cnn_tensor *const *)&input, 1);
    if (status != CNN_OK) status = fail_in_layer(layer, status);
    if (again) status = try_call(layer, input);
    cnn_tensor_release(input);
    return status;
}

int cnn_layer_output_count(const cnn_layer *layer) {
    return class_of(layer)->output_count ? class_of(layer)->output_count(layer) : 1;
}

/* A tensor may stand among the results twice: once it belongs to the call, own_result makes another of it. */
static cnn_status record_results(cnn_layer *layer, cnn_tensor **results, int n_results,
                                 cnn_tensor *const *inputs, int n_inputs, bool inference) {
    cnn_call *call;
    CNN_TRY(new_call(&call, layer, inputs, n_inputs, n_results));
    call->inference = inference;
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < n_results; i++) {
        if (results[i]->data) continue;
        status = own_result(&results[i], inputs, n_inputs);
        if (status == CNN_OK) set_result(call, i, results[i]);
    }
    release_call(call);
    return status;
}

static bool any_symbolic(cnn_tensor *const *tensors, int count) {
    for (int i = 0; i < count; i++)
        if (!tensors[i]->data) return true;
    return false;
}

static cnn_status check_count(const cnn_layer *layer, int count) {
    int least = class_of(layer)->min_inputs, most = class_of(layer)->max_inputs;
    if (count >= least && count <= most) return CNN_OK;
    if (most == 1) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected one input, got %d", layer->name, count);
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected %s%d inputs, got %d", layer->name,
                    least == most   ? ""
                    : count < least ? "at least "
                                    : "at most ",
                    count < least ? least : most, count);
}

static cnn_status call_layer(cnn_tensor **outs, cnn_layer *layer, cnn_tensor *const *inputs, int count,
                             bool training, bool inference) {
    CNN_TRY(check_count(layer, count));
    cnn_status status = build_for(layer, (const cnn_tensor *const *)inputs, count);
    if (status != CNN_OK) return fail_in_layer(layer, status);
    int n_results = cnn_layer_output_count(layer);
    cnn_tensor *results[CNN_MAX_INPUTS];
    for (int i = 0; i < n_results; i++) results[i] = NULL;
    bool before = cnn_ops_as_inference(false);
    cnn_ops_as_inference(before || inference);
    /* In a worker, which calls it comes to make is by chance; there the element's own generator decides. */
    uint64_t *steps = cnn_ops_count_steps(layer->seeded && !cnn_random_is_own() ? &layer->steps : NULL);
    status = class_of(layer)->call(layer, results, inputs, count, training);
    cnn_ops_count_steps(steps);
    cnn_ops_as_inference(before);
    if (status == CNN_OK && any_symbolic(results, n_results))
        status = record_results(layer, results, n_results, inputs, count, inference);
    if (status != CNN_OK) {
        for (int i = 0; i < n_results; i++) cnn_tensor_release(results[i]);
        return fail_in_layer(layer, status);
    }
    memcpy(outs, results, (size_t)n_results * sizeof *results);
    return CNN_OK;
}

cnn_status cnn_layer_call_all(cnn_tensor **outs, cnn_layer *layer, cnn_tensor *const *inputs, int count,
                              bool training) {
    return call_layer(outs, layer, inputs, count, training, false);
}

cnn_status cnn_layer_call_inference(cnn_tensor **outs, cnn_layer *layer, cnn_tensor *const *inputs,
                                    int count) {
    return call_layer(outs, layer, inputs, count, false, true);
}

cnn_status cnn_layer_call(cnn_tensor **out, cnn_layer *layer, cnn_tensor *const *inputs, int count,
                          bool training) {
    cnn_tensor *results[CNN_MAX_INPUTS];
    CNN_TRY(cnn_layer_call_all(results, layer, inputs, count, training));
    *out = results[0];
    for (int i = cnn_layer_output_count(layer) - 1; i > 0; i--) cnn_tensor_release(results[i]);
    return CNN_OK;
}
