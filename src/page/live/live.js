(function(){var D=document,places={};
function put(f){D.title=f.title;
Array.prototype.forEach.call(D.querySelectorAll('.pan[id]'),function(p){if(p.dataset.moved)places[p.id]=p.scrollLeft});
D.getElementById('live-head').innerHTML=f.head;D.getElementById('live-main').innerHTML=f.main;
/* what the script of all pages does to them it does to the new parts */
var all=D.getElementsByTagName('script'),again=D.createElement('script');again.textContent=all[all.length-1].textContent;
D.body.appendChild(again);D.body.removeChild(again);
/* where the reader looked, else where it happens */
Array.prototype.forEach.call(D.querySelectorAll('.pan[id]'),function(p){
var x=p.id in places?places[p.id]:p.scrollWidth>p.clientWidth?+p.dataset.x:0;
p.scrollLeft=x;if(p.id in places)p.dataset.moved=1;
['wheel','touchmove','pointerdown','keydown'].forEach(function(e){p.addEventListener(e,function(){p.dataset.moved=1},{passive:true})})});
}
/* what can be read stays readable when the process is gone */
function keep(){Array.prototype.forEach.call(D.querySelectorAll('a[data-keep]'),function(a){
fetch(a.href).then(function(r){return r.ok?r.blob():null}).then(function(b){if(b)a.href=URL.createObjectURL(b)}).catch(function(){})})}
var s=new EventSource('events'),lost=0;
s.onmessage=function(e){lost=0;put(JSON.parse(e.data))};
s.addEventListener('last',function(e){s.close();put(JSON.parse(e.data));keep()});
s.onerror=function(){if(++lost<3)return;s.close();var p=D.getElementById('live-state');
if(p)p.textContent='■ the tool is gone: this is the last that it told'};
})();
