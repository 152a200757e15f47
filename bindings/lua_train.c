/* Optimizers, losses and metrics used by hand, as loops over a gradient tape do. They are specs (see lua_layer.c), so
 * that compile takes the same objects; what they keep between calls is made at the first one and lies in the spec under
 * a key that scripts cannot name. */
#include "lua_layer.h"
#include "lua_op.h"
#include "base/text.h"
#include "layers/initializer.h"
#include "ops/arith.h"
#include "ops/loss.h"
#include "ops/tape.h"
#include "tensor/tensor.h"
#include "train/metric.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <math.h>
#include <string.h>

#define OPTIMIZER "cnn.applied optimizer"
#define METRIC "cnn.live metric"
#define LOSS "cnn.live loss"

static const char live_key; /* its address is the key */

/* The live part of the spec at 1, or NULL. */
static void *live_part(lua_State *L, const char *type) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushlightuserdata(L, (void *)&live_key);
    lua_rawget(L, 1);
    void *live = luaL_testudata(L, -1, type);
    lua_pop(L, 1);
    return live;
}

/* Makes the userdata on the top the live part of the spec at 1, and pops it. */
static void keep_live(lua_State *L) {
    lua_pushlightuserdata(L, (void *)&live_key);
    lua_insert(L, -2);
    lua_rawset(L, 1);
}

static const char *class_name(lua_State *L) {
    const char *name = NULL;
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_pushliteral(L, "class_name");
        lua_rawget(L, 1);
        name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    }
    if (!name) lcnn_fail(L, "expected an optimizer, loss or metric as self; call it as object:method(…)");
    lua_pop(L, 1); /* the spec keeps it */
    return name;
}

/* ---- optimizers ------------------------------------------------------------------------------------------ */

/* An optimizer with the variables it keeps state for. */
typedef struct applied {
    cnn_optimizer *optimizer;
    int count;
    cnn_tensor **variables; /* retained; allocated by Lua, anchored in the user value */
    bool warned;            /* that some had no gradient */
} applied;

static int applied_gc(lua_State *L) {
    applied *a = lua_touserdata(L, 1);
    cnn_optimizer_free(a->optimizer);
    for (int i = 0; i < a->count; i++) cnn_tensor_release(a->variables[i]);
    *a = (applied){0};
    return 0;
}

/* The spec's optimizer, made if it is not there yet. */
static applied *live_optimizer(lua_State *L) {
    applied *a = live_part(L, OPTIMIZER);
    if (a) return a;
    const cJSON *spec = lcnn_to_json(L, 1, class_name(L));
    a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (applied){0};
    luaL_setmetatable(L, OPTIMIZER);
    lcnn_check(L, cnn_optimizer_new(&a->optimizer, spec));
    keep_live(L);
    lua_pop(L, 1);
    return a;
}

/* Both lists at 2 and 3: apply(grads, vars), apply{{g, v}, …}, or apply(tensor, tensor). Puts a gradient (or nil) and a
 * variable for each on the stack; returns how many. */
static int push_pairs(lua_State *L, const char *who) {
    int top = lua_gettop(L);
    if (top < 2 || top > 3) lcnn_fail(L, "%s: apply_gradients expects gradients and variables", who);
    bool zipped = top == 2;
    for (int i = 2; i <= top; i++) {
        if (!lcnn_test_tensor(L, i)) continue;
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, 1);
        lua_replace(L, i);
    }
    for (int i = 2; i <= top; i++)
        if (lua_type(L, i) != LUA_TTABLE)
            lcnn_fail(L, "%s: apply_gradients expects lists of gradients and of variables, got %s", who,
                      lcnn_describe(L, i));
    int count = (int)lua_rawlen(L, zipped ? 2 : 3);
    luaL_checkstack(L, 2 * count + 10, "variables");
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, zipped ? 2 : 3, i);
        if (zipped) {
            if (lua_type(L, -1) != LUA_TTABLE)
                lcnn_fail(L, "%s: apply_gradients expects pairs {gradient, variable}", who);
            lua_rawgeti(L, -1, 1);
            lua_rawgeti(L, -2, 2);
            lua_remove(L, -3);
        } else {
            lua_rawgeti(L, 2, i);
            lua_insert(L, -2);
        }
    }
    return count;
}

/* The pair number i, from 0: {gradient, variable}. */
static void check_pair(lua_State *L, const char *who, int first, int i) {
    cnn_tensor *gradient = lcnn_test_tensor(L, first + 2 * i),
               *variable = lcnn_test_tensor(L, first + 2 * i + 1);
    if (!variable || !variable->data || variable->dtype != CNN_FLOAT32)
        lcnn_fail(L, "%s: variable %d must be a float32 tensor, got %s", who, i + 1,
                  variable ? "one of another kind" : luaL_typename(L, first + 2 * i + 1));
    if (!gradient && !lua_isnil(L, first + 2 * i))
        lcnn_fail(L, "%s: gradient %d must be a tensor or nil, got a %s", who, i + 1,
                  luaL_typename(L, first + 2 * i));
    if (gradient &&
        (!gradient->data || gradient->dtype != CNN_FLOAT32 || !cnn_same_shape(gradient, variable)))
        lcnn_fail(L, "%s: gradient %d must be float32 and shaped as its variable", who, i + 1);
}

/* The variables of the first step stay those of all. */
static void keep_variables(lua_State *L, applied *a, const char *who, int first, int count) {
    if (a->variables) return;
    if (count == 0) lcnn_fail(L, "%s: there are no variables", who);
    lua_pushlightuserdata(L, (void *)&live_key);
    lua_rawget(L, 1);
    cnn_tensor **list = lua_newuserdatauv(L, (size_t)count * sizeof *list, 0);
    lua_setiuservalue(L, -2, 1);
    lua_pop(L, 1);
    a->variables = list;
    for (int i = 0; i < count; i++) list[i] = cnn_tensor_retain(lcnn_check_tensor(L, first + 2 * i + 1));
    a->count = count;
}

static int place_of(const applied *a, const cnn_tensor *variable) {
    for (int i = 0; i < a->count; i++)
        if (a->variables[i] == variable) return i;
    return -1;
}

static bool changes_gradients(const cnn_optimizer *o) {
    return !isnan(o->clipnorm) || !isnan(o->clipvalue) || !isnan(o->global_clipnorm);
}

static void warn_once(lua_State *L, applied *a, int missing) {
    if (missing == 0 || a->warned) return;
    a->warned = true;
    lcnn_where(L);
    fprintf(stderr, "%s%s: %d of %d variables have no gradient and stay as they are\n", lua_tostring(L, -1),
            a->optimizer->class->name, missing, a->count);
    lua_pop(L, 1);
}

/*** Takes one step by hand: changes variables in place by their gradients.
The variables of the first call are those of all later calls, in any order, because the optimizer keeps its moments
for each. Where there is no gradient (nil), the variable stays as it is, with one warning on stderr.
@function optimizer:apply_gradients
@tparam {tensor,...} gradients as tape:gradient gives them; alone, without variables, pairs {gradient, variable};
one tensor for one variable
@tparam[opt] {variable,...} variables float32, each shaped as its gradient
@raise another variable than those of the first call; one that is given twice; a gradient of another shape
@usage
w = cnn.Variable{1, 2}
optimizer = cnn.optimizers.SGD{0.5}
optimizer:apply_gradients({cnn.tensor{2, 2}}, {w})
w:tolist()                           --> {0.0, 1.0}
tape = cnn.GradientTape()
loss = (w * w):sum()
optimizer:apply_gradients(tape:gradient(loss, {w}), {w})
w:tolist()                           --> {0.0, 0.0}
optimizer.iterations                 --> 2
optimizer:apply_gradients({cnn.tensor{1}}, {w})
--> error: SGD: gradient 1 must be float32 and shaped as its variable
*/
static int apply_gradients(lua_State *L) {
    const char *who = class_name(L);
    int first = lua_gettop(L) + 1, count = push_pairs(L, who);
    for (int i = 0; i < count; i++) check_pair(L, who, first, i);
    applied *a = live_optimizer(L);
    keep_variables(L, a, who, first, count);
    cnn_update *updates = lua_newuserdatauv(L, (size_t)a->count * sizeof *updates, 0);
    for (int i = 0; i < a->count; i++)
        updates[i] = (cnn_update){.weights = cnn_f32(a->variables[i]), .size = a->variables[i]->size};
    luaL_checkstack(L, count + 4, "gradients");
    int missing = a->count;
    for (int i = 0; i < count; i++) {
        int place = place_of(a, lcnn_check_tensor(L, first + 2 * i + 1));
        if (place < 0)
            lcnn_fail(L, "%s: variable %d is none of the %d of the first step; make another optimizer for it",
                      who, i + 1, a->count);
        if (lua_isnil(L, first + 2 * i)) continue;
        cnn_tensor *gradient = lcnn_check_tensor(L, first + 2 * i), *copy = NULL;
        if (updates[place].gradient) lcnn_fail(L, "%s: variable %d is given twice", who, i + 1);
        if (changes_gradients(a->optimizer)) {
            lcnn_push_result(L, cnn_copy(&copy, gradient), &copy);
            gradient = copy;
        }
        updates[place].gradient = cnn_f32(gradient);
        missing--;
    }
    warn_once(L, a, missing);
    lcnn_check(L, cnn_optimizer_step(a->optimizer, updates, a->count));
    for (int i = 0; i < a->count; i++)
        if (updates[i].gradient) cnn_tape_written(a->variables[i]);
    return 0;
}

/* Methods, then the state, then the arguments. */
/*** An optimizer: what cnn.optimizers.NAME{…} makes, to be given to compile or used by hand with apply_gradients.
A string such as "adam" stands for one with default arguments. It prints as its class, `<Adam>`; its arguments are
fields. Before it is in use, they can be set; then `learning_rate` alone can, which is the rate of the next step,
also of a schedule. Other names are errors. `iterations` counts the steps taken by hand. Every compile makes an
optimizer of its own from it, which is the model's field `optimizer`.
@field optimizer
@usage
optimizer = cnn.optimizers.Adam{0.01}
optimizer.learning_rate, optimizer.beta_1, optimizer.iterations
--> 0.01
--> 0.9
--> 0
optimizer.learning_rate = 0.001
optimizer.learning_rat = 0.001
--> error: Adam: there is no field 'learning_rat' (did you mean 'learning_rate'?)
*/
static int optimizer_index(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    applied *a = live_part(L, OPTIMIZER);
    if (strcmp(name, "apply_gradients") == 0)
        lua_pushcfunction(L, apply_gradients);
    else if (strcmp(name, "iterations") == 0)
        lua_pushinteger(L, a ? a->optimizer->iterations : 0);
    else if (strcmp(name, "learning_rate") == 0 && a)
        lua_pushnumber(L, cnn_optimizer_rate(a->optimizer));
    else
        lcnn_spec_get(L);
    return 1;
}

/* An argument, for what is made of the spec from then on; in use, the learning rate alone. */
static int optimizer_newindex(lua_State *L) {
    const char *who = class_name(L);
    applied *a = live_part(L, OPTIMIZER);
    if (a && (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "learning_rate") != 0))
        lcnn_fail(L, "%s: only 'learning_rate' can be set once the optimizer is in use", who);
    if (a) lcnn_check(L, cnn_optimizer_set_rate(a->optimizer, lcnn_check_number(L, 3, who, "learning_rate")));
    lcnn_spec_set(L);
    return 0;
}

/* ---- schedules ------------------------------------------------------------------------------------------- */

/*** A learning-rate schedule: what cnn.optimizers.schedules.NAME{…} makes, to be an optimizer's learning_rate.
schedule(step) is the rate of the step that follows so many: schedule(0) that of the first. Its arguments are fields.
@field schedule
@usage
schedule = cnn.optimizers.schedules.ExponentialDecay{0.5, decay_steps = 10, decay_rate = 0.25}
schedule(0), schedule(5), schedule(10)
--> 0.5
--> 0.25
--> 0.125
schedule.decay_steps                 --> 10
optimizer = cnn.optimizers.SGD{schedule, momentum = 0.9}
*/
static int schedule_call(lua_State *L) {
    const char *who = class_name(L);
    int whole;
    lua_Integer step = lua_tointegerx(L, 2, &whole);
    if (!whole || lua_type(L, 2) != LUA_TNUMBER || step < 0)
        lcnn_fail(L, "%s: 'step' must be a whole number of at least 0, got %s", who, lcnn_describe(L, 2));
    cnn_schedule *schedule = NULL;
    lcnn_check(L, cnn_schedule_new(&schedule, lcnn_to_json(L, 1, who)));
    double rate = cnn_schedule_rate(schedule, step);
    cnn_schedule_free(schedule);
    lua_pushnumber(L, rate);
    return 1;
}

/* ---- initializers ---------------------------------------------------------------------------------------- */

/*** An initializer: what cnn.initializers.NAME{…} makes, which draws the first values of weights.
A string such as "he_normal" stands for one with default arguments. It is also a function: initializer(shape), or
initializer{3, 3, 1, 8}, gives a float32 tensor of that shape. With a seed it gives the same values at each call.
@field initializer
@usage
initializer = cnn.initializers.Constant{0.5}
initializer{2, 2}
--> float32 (2, 2)
--> [[0.5 0.5]
-->  [0.5 0.5]]
layer = layers.Dense{2, bias_initializer = initializer}
he = cnn.initializers.HeNormal{seed = 1}
cnn.allclose(he{8, 8}, he{8, 8})     --> true
*/
static int initializer_call(lua_State *L) {
    const char *who = class_name(L);
    int64_t shape[CNN_MAX_RANK];
    lua_settop(L, 2);
    int rank = lcnn_check_shape(L, 2, who, shape);
    const cJSON *spec = lcnn_to_json(L, 1, who);
    cnn_tensor *out = NULL;
    lcnn_push_result(L, cnn_tensor_new(&out, CNN_FLOAT32, rank, shape), &out);
    lcnn_check(L, cnn_initializer_fill(spec, NULL, cnn_f32(out), rank, shape));
    return 1;
}

/* ---- losses ---------------------------------------------------------------------------------------------- */

static int loss_gc(lua_State *L) {
    void **box = lua_touserdata(L, 1);
    cnn_object_free(*box);
    *box = NULL;
    return 0;
}

static const void *live_loss(lua_State *L) {
    void **box = live_part(L, LOSS);
    if (box) return *box;
    const cJSON *spec = lcnn_to_json(L, 1, class_name(L));
    box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, LOSS);
    lcnn_check(L, cnn_object_from(box, (const cnn_class *const *)cnn_losses, spec));
    const void *object = *box;
    keep_live(L);
    lua_pop(L, 1);
    return object;
}

/*** A loss: what cnn.losses.NAME{…} makes, to be given to compile, or a function of labels and predictions.
A string such as "mse" stands for one with default arguments. loss(y_true, y_pred) is a scalar tensor, the mean over
the samples (rows of the first axis) of how far they are apart, which a tape can differentiate with respect to
y_pred. With factors as third argument, one for each sample, each sample's loss is multiplied by its own before the
mean, which is still divided by the number of samples. Its arguments are fields.
@field loss
@usage
loss = cnn.losses.MeanSquaredError{}
loss({{1}, {2}}, {{1}, {4}}):item()          --> 2.0
loss({{1}, {2}}, {{1}, {4}}, {1, 0}):item()  --> 0.0
loss({{1}, {2}})                             --> error: MeanSquaredError: expected y_true and y_pred
*/
static int loss_call(lua_State *L) {
    const char *who = class_name(L);
    lua_settop(L, 4);
    const void *attributes = live_loss(L);
    if (lua_isnil(L, 2) || lua_isnil(L, 3)) lcnn_fail(L, "%s: expected y_true and y_pred", who);
    lcnn_convert(L, 2, who, "y_true");
    lcnn_convert(L, 3, who, "y_pred");
    lcnn_apply_2(L, (const cnn_op *)((const cnn_object *)attributes)->class, attributes, 3, 2);
    if (!lua_isnil(L, 4)) {
        lcnn_convert(L, 4, who, "sample_weight");
        lcnn_apply_2(L, &cnn_op_multiply, NULL, lua_gettop(L), 4);
    }
    return lcnn_apply_1(L, &cnn_op_mean, NULL, lua_gettop(L));
}

/* ---- metrics --------------------------------------------------------------------------------------------- */

static int metric_gc(lua_State *L) {
    cnn_metric **box = lua_touserdata(L, 1);
    cnn_metric_free(*box);
    *box = NULL;
    return 0;
}

/* The shapes decide nothing here: a spec names its class. */
static cnn_metric *live_metric(lua_State *L) {
    cnn_metric **box = live_part(L, METRIC);
    if (box) return *box;
    const cJSON *spec = lcnn_to_json(L, 1, class_name(L));
    box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, METRIC);
    lcnn_check(L, cnn_metric_new(box, spec, NULL, NULL));
    cnn_metric *metric = *box;
    keep_live(L);
    lua_pop(L, 1);
    return metric;
}

/*** Takes more samples into account.
@function metric:update_state
@tparam tensor|table y_true labels; of cnn.metrics.Mean the values, alone
@tparam[opt] tensor|table y_pred predictions
@tparam[opt] tensor|table sample_weight a factor for each sample
@raise shapes that do not fit each other
@usage
metric = cnn.metrics.Accuracy{}
metric:update_state({1, 2, 3}, {1, 2, 4})
metric:update_state({5}, {5})
metric:result()                      --> 0.75
mean = cnn.metrics.Mean{}
mean:update_state{1, 2}
mean:update_state(6)
mean:result()                        --> 3.0
*/
static int update_state(lua_State *L) {
    const char *who = class_name(L);
    lua_settop(L, 4);
    cnn_metric *metric = live_metric(L);
    if (lua_isnil(L, 3)) lua_copy(L, 2, 3); /* Mean takes values alone */
    if (lua_isnil(L, 2)) lcnn_fail(L, "%s: update_state expects values", who);
    lcnn_convert(L, 2, who, "y_true");
    lcnn_convert(L, 3, who, "y_pred");
    const float *weight = NULL;
    if (!lua_isnil(L, 4)) {
        lcnn_convert(L, 4, who, "sample_weight");
        lcnn_check_eager(L, 4, who);
        lcnn_to_float(L, 4);
        int64_t samples = lcnn_check_tensor(L, 3)->rank > 0 ? lcnn_check_tensor(L, 3)->shape[0] : 1;
        const cnn_tensor *weights = lcnn_check_tensor(L, 4);
        if (weights->size != samples)
            lcnn_fail(L, "%s: 'sample_weight' must have %I numbers, has %I", who, (LUAI_UACINT)samples,
                      (LUAI_UACINT)weights->size);
        weight = cnn_f32(weights);
    }
    lcnn_check(L, cnn_metric_update(metric, lcnn_check_tensor(L, 2), lcnn_check_tensor(L, 3), weight));
    return 0;
}

/*** The metric's figure over all samples since the last reset; 0 if there are none.
@function metric:result
@treturn number|{number,...} a list where the metric has several thresholds
@usage
precision = cnn.metrics.Precision{thresholds = {0.3, 0.7}}
precision:update_state({1, 0, 1}, {0.9, 0.6, 0.2})
precision:result()                   --> {0.5, 1.0}
*/
static int result(lua_State *L) {
    enum { MOST = 256 };
    double values[MOST];
    int count = cnn_metric_results(live_metric(L), values, MOST);
    if (count == 1) {
        lua_pushnumber(L, values[0]);
        return 1;
    }
    lua_createtable(L, count, 0);
    for (int i = 0; i < count && i < MOST; i++) {
        lua_pushnumber(L, values[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/*** Makes the metric begin anew, without samples.
@function metric:reset_state
@usage
metric = cnn.metrics.Accuracy{}
metric:update_state({1, 2}, {1, 2})
metric:reset_state()
metric:result()                      --> 0.0
*/
/*** The same as reset_state, by Keras's older name.
@function metric:reset_states
@usage
metric = cnn.metrics.Mean{}
metric:update_state{1, 2}
metric:reset_states()
metric:result()                      --> 0.0
*/
static int reset_state(lua_State *L) {
    cnn_metric_reset(live_metric(L));
    return 0;
}

static const luaL_Reg metric_methods[] = {{"update_state", update_state},
                                          {"result", result},
                                          {"reset_state", reset_state},
                                          {"reset_states", reset_state},
                                          {NULL, NULL}};

/* Methods, then the arguments; without a name of its own it has that of its class, as in logs. */
static int metric_index(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (const luaL_Reg *m = metric_methods; m->name; m++) {
        if (strcmp(m->name, name) != 0) continue;
        lua_pushcfunction(L, m->func);
        return 1;
    }
    lcnn_spec_get(L);
    if (lua_isnil(L, -1) && strcmp(name, "name") == 0) {
        char snake[64];
        cnn_snake_case(snake, sizeof snake, class_name(L));
        lua_pushstring(L, snake);
    }
    return 1;
}

/* metric(y_true, y_pred): of these samples too, at once. */
/*** A metric: what cnn.metrics.NAME{…} makes, to be given to compile or used by hand.
By hand, update_state takes samples into account, result gives the figure over all of them, reset_state begins anew;
metric(y_true, y_pred) does the first and gives the second. Its arguments are fields; its name is by default that of
its class, as in logs. A metric given to compile is copied: the model counts for itself.
@field metric
@usage
accuracy = cnn.metrics.SparseCategoricalAccuracy{}
accuracy.name                        --> sparse_categorical_accuracy
accuracy({0, 1}, {{0.9, 0.1}, {0.8, 0.2}})   --> 0.5
accuracy:update_state({1}, {{0.3, 0.7}})
("%.3f"):format(accuracy:result()) == "0.667"  --> true
*/
static int metric_call(lua_State *L) {
    update_state(L);
    lua_settop(L, 1);
    return result(L);
}

/* ---- registration ---------------------------------------------------------------------------------------- */

/* Adds to the metatable that lua_layer.c gives the specs of a kind. NULL: what they have stays. */
static void extend_specs(lua_State *L, const char *kind, lua_CFunction index, lua_CFunction newindex,
                         lua_CFunction call) {
    lcnn_push_spec_type(L, kind);
    if (index) {
        lua_pushcfunction(L, index);
        lua_setfield(L, -2, "__index");
    }
    if (newindex) {
        lua_pushcfunction(L, newindex);
        lua_setfield(L, -2, "__newindex");
    }
    if (call) {
        lua_pushcfunction(L, call);
        lua_setfield(L, -2, "__call");
    }
    lua_pop(L, 1);
}

static void new_box_type(lua_State *L, const char *name, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int lcnn_open_train(lua_State *L) {
    new_box_type(L, OPTIMIZER, applied_gc);
    new_box_type(L, LOSS, loss_gc);
    new_box_type(L, METRIC, metric_gc);
    extend_specs(L, "optimizer", optimizer_index, optimizer_newindex, NULL);
    extend_specs(L, "initializer", NULL, NULL, initializer_call);
    extend_specs(L, cnn_schedules[0]->kind, NULL, NULL, schedule_call);
    extend_specs(L, "loss", NULL, NULL, loss_call);
    extend_specs(L, "metric", metric_index, NULL, metric_call);
    return 0;
}
