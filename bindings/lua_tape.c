/* cnn.GradientTape and cnn.Variable.
 *
 * A tape is a userdata that owns a cnn_tape; left by `local tape <close>`, it stops recording and can still be asked for
 * gradients. A variable is a tensor whose flag `trainable` lets tapes follow it by themselves; a layer's weights are
 * such tensors too. */
#include "lua_cnn.h"
#include "lua_op.h"
#include "base/text.h"
#include "ops/tape.h"
#include "tensor/tensor.h"

#include <string.h>

#define TAPE "GradientTape"
#define PAUSE "cnn.pause"
#define GRADIENTS "cnn.gradients"

/* ---- the tape -------------------------------------------------------------------------------------------- */

/*** What records a computation and differentiates it: made by cnn.GradientTape, closed by `local tape <close>`.
@field tape
@usage
x = cnn.Variable(3)
tape = cnn.GradientTape()
tape:gradient(x ^ 2, x):item()     --> 6.0
*/

static cnn_tape *check_tape(lua_State *L, int arg) {
    cnn_tape **box = luaL_checkudata(L, arg, TAPE);
    return *box;
}

/*** Records what is computed, to differentiate it. It records from the call on, and follows trainable variables
(cnn.Variable, the weights of layers), tensors it is told to watch, and all that is made of them in float32, until it
is closed or asked for gradients. `local tape <close>` closes it at the block's end. Tapes may lie within each other.
What a tape follows must not be changed in place before it was asked.
@function cnn.GradientTape
@tparam[opt=false] bool persistent whether it may be asked for gradients more than once; it then keeps all it recorded
@tparam[opt=true] bool watch_accessed_variables whether it follows trainable variables unasked
@treturn tape
@usage
w = cnn.Variable{2, -1}
x, y = cnn.tensor{{1, 2}, {3, 4}}, cnn.tensor{1, 5}
tape = cnn.GradientTape()
loss = (x:matmul(w) - y):square():mean()
gradient = tape:gradient(loss, w)
gradient               -- 2/n · transposed x · (x·w - y)
--> float32 (2,)
--> [-10. -14.]
w:assign_sub(gradient * 0.125)     -- a step down the slope
--> float32 (2,)
--> [3.25 0.75]
*/
static int new_tape(lua_State *L) {
    static const char *const names[] = {"persistent", "watch_accessed_variables", NULL};
    lcnn_args(L, 1, TAPE, names);
    for (int i = 1; i <= 2; i++)
        if (!lua_isnil(L, i) && !lua_isboolean(L, i))
            lcnn_fail(L, "GradientTape: '%s' must be true or false, got %s", names[i - 1],
                      lcnn_describe(L, i));
    bool persistent = lua_toboolean(L, 1), watch = lua_isnil(L, 2) || lua_toboolean(L, 2);
    cnn_tape **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, TAPE);
    lcnn_check(L, cnn_tape_new(box, persistent, watch));
    return 1;
}

static int tape_close(lua_State *L) {
    cnn_tape_stop(check_tape(L, 1));
    return 0;
}

static int tape_gc(lua_State *L) {
    cnn_tape **box = luaL_checkudata(L, 1, TAPE);
    cnn_tape_free(*box);
    *box = NULL;
    return 0;
}

/*** Follows tensors that are no trainable variables, from here on.
@function tape:watch
@tparam tensor|{tensor,...} tensors float32
@usage
x = cnn.tensor{1, 2, 3}
tape = cnn.GradientTape()
tape:watch(x)
tape:gradient(x:square(), x)
--> float32 (3,)
--> [2. 4. 6.]
*/
static int watch(lua_State *L) {
    cnn_tape *tape = check_tape(L, 1);
    luaL_checkany(L, 2);
    if (lua_type(L, 2) != LUA_TTABLE) {
        lcnn_check(L, cnn_tape_watch(tape, lcnn_check_tensor(L, 2)));
        return 0;
    }
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        cnn_tensor *tensor = lcnn_test_tensor(L, -1);
        if (!tensor) lcnn_fail(L, "watch: expected tensors, got %s", lcnn_describe(L, -1));
        lcnn_check(L, cnn_tape_watch(tape, tensor));
    }
    return 0;
}

/*** Forgets everything, what is watched too, and records anew.
@function tape:reset
@usage
w = cnn.Variable(3)
tape = cnn.GradientTape()
unwanted = w ^ 2
tape:reset()
tape:gradient(2 * w, w):item()     --> 2.0
*/
static int reset(lua_State *L) {
    cnn_tape_reset(check_tape(L, 1));
    return 0;
}

static int resume(lua_State *L) {
    luaL_checkudata(L, 1, PAUSE);
    lua_getiuservalue(L, 1, 1);
    cnn_tape **box = luaL_testudata(L, -1, TAPE);
    if (box && *box) cnn_tape_resume(*box);
    return 0;
}

/*** Stops recording until the value it returns is closed; what was recorded stays.
@function tape:stop_recording
@treturn userdata to be declared `<close>`: where its block ends, the tape goes on
@usage
w = cnn.Variable(3)
tape = cnn.GradientTape()
y = w * w
do
  local pause <close> = tape:stop_recording()
  constant = w * 10
end
tape:gradient(y + constant, w):item()                    --> 6.0
*/
static int stop_recording(lua_State *L) {
    cnn_tape_stop(check_tape(L, 1));
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, PAUSE);
    return 1;
}

/* ---- gradients ------------------------------------------------------------------------------------------- */

enum { DEEPEST = 32 };

/* The value on the top, a tensor or nested tables of them, is replaced by the same structure with positions in the list
 * at index instead of tensors. */
static void number_sources(lua_State *L, int list, int depth) {
    luaL_checkstack(L, 8, "sources");
    if (lcnn_test_tensor(L, -1)) {
        lua_Integer position = (lua_Integer)lua_rawlen(L, list) + 1;
        lua_rawseti(L, list, position);
        lua_pushinteger(L, position);
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        lcnn_fail(L, "gradient: sources must be tensors or tables of them, got %s", lcnn_describe(L, -1));
    if (depth == DEEPEST) lcnn_fail(L, "gradient: sources are nested more than %d deep", DEEPEST);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
        number_sources(L, list, depth + 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* key, key, numbered */
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

/* The reverse: the numbered structure on the top gets what the list holds at these positions. */
static void fill_in(lua_State *L, int list) {
    if (lua_type(L, -1) == LUA_TNUMBER) {
        lua_rawgeti(L, list, lua_tointeger(L, -1));
        lua_remove(L, -2);
        return;
    }
    for (lua_pushnil(L); lua_next(L, -2);) {
        fill_in(L, list);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4); /* an existing field: the walk goes on */
    }
}

/* References that a Lua error must not lose. */
typedef struct references {
    int count;
    cnn_tensor *items[];
} references;

static int release_references(lua_State *L) {
    references *r = lua_touserdata(L, 1);
    for (int i = 0; i < r->count; i++) {
        cnn_tensor_release(r->items[i]);
        r->items[i] = NULL;
    }
    return 0;
}

static references *push_references(lua_State *L, int count) {
    references *r = lua_newuserdatauv(L, sizeof *r + (size_t)count * sizeof *r->items, 0);
    r->count = count;
    memset(r->items, 0, (size_t)count * sizeof *r->items);
    luaL_setmetatable(L, GRADIENTS);
    return r;
}

/* Where target does not depend on a source: zeros shaped as the source. */
static void fill_zeros(lua_State *L, cnn_tensor *const *sources, references *gradients) {
    for (int i = 0; i < gradients->count; i++)
        if (!gradients->items[i])
            lcnn_check(
                L, cnn_tensor_new(&gradients->items[i], CNN_FLOAT32, sources[i]->rank, sources[i]->shape));
}

static bool wants_zeros(lua_State *L, int arg) {
    const char *choice = luaL_optstring(L, arg, "none");
    if (strcmp(choice, "none") != 0 && strcmp(choice, "zero") != 0)
        lcnn_fail(L, "gradient: 'unconnected_gradients' must be \"none\" or \"zero\", got \"%s\"", choice);
    return choice[0] == 'z';
}

/*** The derivatives of a tensor with respect to others. Of a target with several elements it is the derivative of
their sum. The tape stops recording; a persistent one goes on, and may be asked again. It may be asked after it was
closed too.
@function tape:gradient
@tparam tensor target computed while the tape recorded
@tparam tensor|table sources a tensor or variable, or tables of them, one within the other
@tparam[opt] tensor output_gradients weights of the target's elements in their sum, in its shape
@tparam[opt="none"] "none"|"zero" unconnected_gradients what stands for the gradient of a source on which the target
does not depend: nil, or zeros
@treturn tensor|table as sources, with gradients in the places of tensors: float32, in their shapes
@raise a target that was not recorded; a second call, if the tape is not persistent; a function without derivative on
the way, such as astype to integers or argmax
@usage
a, b = cnn.Variable(2), cnn.Variable(5)
tape = cnn.GradientTape{persistent = true}
y = a * a * b
grads = tape:gradient(y, {a = a, b = b})
grads.a:item(), grads.b:item()
--> 20.0
--> 4.0
tape:gradient(a * 3, {a, b})[2]    -- does not depend on b
--> nil
tape:gradient(y, a, {output_gradients = cnn.tensor(0.5)}):item()           --> 10.0
*/
static int gradient(lua_State *L) {
    enum { TARGET = 2, SOURCES, OUTPUT_GRADIENTS, UNCONNECTED, LIST, STRUCTURE, SOURCE_REFS, GRADIENT_REFS };
    cnn_tape *tape = check_tape(L, 1);
    static const char *const names[] = {"target", "sources", "output_gradients", "unconnected_gradients",
                                        NULL};
    if (lua_gettop(L) > SOURCES) /* sources alone may have names of their own */
        lcnn_args_mixed(L, 2, "gradient", names);
    else
        lcnn_args(L, 2, "gradient", names);
    if (!lcnn_test_tensor(L, TARGET))
        lcnn_fail(L, "gradient: the target must be a tensor, got %s", lcnn_describe(L, TARGET));
    bool zeros = wants_zeros(L, UNCONNECTED);
    if (!lua_isnil(L, OUTPUT_GRADIENTS)) lcnn_to_tensor(L, OUTPUT_GRADIENTS);
    lua_newtable(L);
    lua_pushvalue(L, SOURCES);
    number_sources(L, LIST, 0);
    int count = (int)lua_rawlen(L, LIST);
    references *sources = push_references(L, count), *gradients = push_references(L, count);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, LIST, i + 1);
        sources->items[i] = cnn_tensor_retain(lcnn_check_tensor(L, -1));
        lua_pop(L, 1);
    }
    const cnn_tensor *weights =
        lua_isnil(L, OUTPUT_GRADIENTS) ? NULL : lcnn_check_tensor(L, OUTPUT_GRADIENTS);
    lcnn_check(L, cnn_tape_gradient(tape, lcnn_check_tensor(L, TARGET), sources->items, count, weights,
                                    gradients->items));
    if (zeros) fill_zeros(L, sources->items, gradients);
    for (int i = 0; i < count; i++) {
        cnn_tensor *owned = gradients->items[i];
        gradients->items[i] = NULL;
        if (owned)
            lcnn_push_tensor(L, owned);
        else
            lua_pushnil(L);
        lua_rawseti(L, LIST, i + 1);
    }
    lua_pushvalue(L, STRUCTURE);
    fill_in(L, LIST);
    return 1;
}

/* ---- variables ------------------------------------------------------------------------------------------- */

/* Variable{1, 2, 3} and Variable{{1, 2}, {3, 4}} are values as they stand; in a table that has names, or one element, the
 * first element is the value. */
static void variable_arguments(lua_State *L, const char *const *names) {
    bool lone = lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TTABLE, listed = lone && lua_rawlen(L, 1) > 1;
    if (listed) {
        lua_rawgeti(L, 1, 1);
        listed = !lcnn_test_tensor(L, -1);
        lua_pop(L, 1);
    }
    if (!listed) {
        lcnn_args_mixed(L, 1, "Variable", names);
        return;
    }
    lua_newtable(L); /* 2: the value's elements; the names stay in 1 */
    lua_newtable(L); /* 3 */
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, lua_isinteger(L, -2) ? 2 : 3);
    }
    lua_pushvalue(L, 2);
    lua_rawseti(L, 3, 1);
    lua_replace(L, 1);
    lua_settop(L, 1);
    lcnn_args(L, 1, "Variable", names);
}

/*** A tensor that training changes: gradient tapes follow it unasked, optimizers and its methods assign, assign_add
and assign_sub change it in place. Its fields name and trainable hold these. Everything else it does as any tensor;
what is computed of it is a plain tensor. Several elements may stand in the table beside the names: cnn.Variable{1, 2,
name = "w"}.
@function cnn.Variable
@tparam tensor|table|number value copied
@tparam[opt=true] bool trainable whether tapes follow it unasked; never those of other types than float32
@tparam[opt] text name
@tparam[opt] text dtype default: that of the value, float32 of numbers
@treturn variable a tensor
@usage
w = cnn.Variable(cnn.zeros{2}, {name = "weights"})
w:assign_add{1, 2}
--> float32 (2,)
--> [1. 2.]
w.name, w.trainable
--> weights
--> true
optimizer = cnn.optimizers.SGD{0.5}
optimizer:apply_gradients({cnn.tensor{1, 1}}, {w})
w:tolist()             --> {0.5, 1.5}
*/
static int new_variable(lua_State *L) {
    static const char *const names[] = {"value", "trainable", "name", "dtype", NULL};
    variable_arguments(L, names);
    if (lua_isnil(L, 1)) lcnn_fail(L, "Variable: 'value' is missing");
    if (!lua_isnil(L, 2) && !lua_isboolean(L, 2))
        lcnn_fail(L, "Variable: 'trainable' must be true or false, got %s", lcnn_describe(L, 2));
    if (!lua_isnil(L, 3) && lua_type(L, 3) != LUA_TSTRING)
        lcnn_fail(L, "Variable: 'name' must be a string, got %s", lcnn_describe(L, 3));
    cnn_dtype dtype = lcnn_opt_dtype(L, 4, "Variable", CNN_FLOAT32);
    cnn_tensor *value = lcnn_to_dtype(L, 1, lua_isnil(L, 4) ? -1 : (int)dtype), *own = NULL;
    if (lua_isnil(L, 4)) dtype = value->dtype;
    lcnn_check_eager(L, 1, "Variable");
    lcnn_push_result(L, cnn_cast(&own, value, dtype), &own);
    own->trainable = dtype == CNN_FLOAT32 && (lua_isnil(L, 2) || lua_toboolean(L, 2));
    if (lua_isnil(L, 3)) return 1;
    lua_getfield(L, LUA_REGISTRYINDEX, LCNN_VARIABLE_NAMES);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return 1;
}

enum { ASSIGN, ASSIGN_ADD, ASSIGN_SUB };

/*** Gives a tensor new values, in place.
@function tensor:assign
@tparam tensor|table|number value of the same shape; its elements become those of the tensor's type
@treturn tensor itself
@raise another shape; a value, or a tensor made of others, that a gradient tape follows
@usage
w = cnn.Variable{1, 2}
w:assign{3, 4}
--> float32 (2,)
--> [3. 4.]
w:assign{1, 2, 3}
--> error: assign: the value must have the tensor's shape (2,), got (3,)
*/

/*** Adds to a tensor, in place.
@function tensor:assign_add
@tparam tensor|table|number value of the same shape
@treturn tensor itself
@usage
steps = cnn.Variable(0)
steps:assign_add(1)
steps:item()           --> 1.0
*/

/*** Subtracts from a tensor, in place.
@function tensor:assign_sub
@tparam tensor|table|number value of the same shape
@treturn tensor itself
@usage
w, gradient = cnn.Variable{1, 2}, cnn.tensor{10, -10}
w:assign_sub(gradient * 0.1)
w:tolist()             --> {0.0, 3.0}
*/
static int assign(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    int op = lcnn_upvalue_op(L);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lcnn_check_eager(L, 1, who);
    lcnn_to_tensor(L, 2);
    cnn_tensor *made = NULL, *target = lcnn_check_tensor(L, 1), *value = lcnn_check_eager(L, 2, who);
    if (!cnn_same_shape(target, value)) {
        char expected[CNN_SHAPE_TEXT], came[CNN_SHAPE_TEXT];
        lcnn_fail(L, "%s: the value must have the tensor's shape %s, got %s", who,
                  cnn_shape_text(expected, sizeof expected, target->rank, target->shape),
                  cnn_shape_text(came, sizeof came, value->rank, value->shape));
    }
    if (cnn_tape_follows(&value, 1))
        lcnn_fail(L, "%s: a gradient tape follows the value, and cannot follow it into another tensor", who);
    if (cnn_tape_made(target))
        lcnn_fail(L, "%s: a gradient tape follows this tensor; change a copy of it, or a variable", who);
    if (op == ASSIGN)
        lcnn_check(L, cnn_cast(&made, value, target->dtype));
    else
        lcnn_check(L, cnn_binary(&made, op == ASSIGN_ADD ? CNN_ADD : CNN_SUB, target, value));
    cnn_cast_into(target, made);
    cnn_tensor_release(made);
    cnn_tape_written(target);
    lua_settop(L, 1);
    return 1;
}

static const lcnn_entry variable_methods[] = {{"assign", assign, ASSIGN},
                                              {"assign_add", assign, ASSIGN_ADD},
                                              {"assign_sub", assign, ASSIGN_SUB},
                                              {NULL, NULL, 0}};

static const luaL_Reg tape_methods[] = {{"watch", watch},
                                        {"gradient", gradient},
                                        {"reset", reset},
                                        {"stop_recording", stop_recording},
                                        {NULL, NULL}};

static void new_type(lua_State *L, const char *name, lua_CFunction gc, lua_CFunction close) {
    luaL_newmetatable(L, name);
    if (gc) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    if (close) {
        lua_pushcfunction(L, close);
        lua_setfield(L, -2, "__close");
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

int lcnn_open_tape(lua_State *L) {
    new_type(L, TAPE, tape_gc, tape_close);
    luaL_newlib(L, tape_methods);
    lua_setfield(L, -2, "__index");
    new_type(L, PAUSE, NULL, resume);
    new_type(L, GRADIENTS, release_references, release_references);
    lua_newtable(L); /* names of variables; they do not keep them */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, LCNN_VARIABLE_NAMES);
    lcnn_push_methods(L);
    lcnn_add_entries(L, variable_methods);
    lua_pushcfunction(L, new_tape);
    lua_setfield(L, 1, "GradientTape");
    lua_pushcfunction(L, new_variable);
    lua_setfield(L, 1, "Variable");
    return 0;
}
