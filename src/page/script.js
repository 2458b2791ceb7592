(function(){var D=document,R=D.documentElement;R.classList.add('hasjs');
function all(s,f,r){Array.prototype.forEach.call((r||D).querySelectorAll(s),f)}
/* copy */
all('[data-copy]',function(b){b.onclick=function(){var t=D.getElementById(b.dataset.copy).textContent,d=function(){b.textContent='Copied';setTimeout(function(){b.textContent='Copy'},1500)};
if(navigator.clipboard)navigator.clipboard.writeText(t).then(d);else{var r=D.createRange();r.selectNodeContents(D.getElementById(b.dataset.copy));var s=getSelection();s.removeAllRanges();s.addRange(r)}}});
/* story and marks light up together */
function lit(k,on){all('[data-k="'+k+'"]',function(e){e.classList.toggle('on',on)})}
all('[data-k]',function(e){['mouseenter','focusin'].forEach(function(v){e.addEventListener(v,function(){lit(e.dataset.k,true)})});
['mouseleave','focusout'].forEach(function(v){e.addEventListener(v,function(){lit(e.dataset.k,false)})})});
/* crosshair with logical time; data-seg is "t0,t1,x0,x1;..." in ms and px */
all('svg[data-seg]',function(s){var seg=s.dataset.seg.split(';').map(function(q){return q.split(',').map(Number)}),h=+s.getAttribute('height'),w=+s.getAttribute('width'),N='http://www.w3.org/2000/svg',
l=D.createElementNS(N,'line'),t=D.createElementNS(N,'text');l.setAttribute('class','cross');t.setAttribute('class','crosst s fb halo');l.setAttribute('y1',0);l.setAttribute('y2',h);t.setAttribute('y',h-5);l.style.display=t.style.display='none';s.appendChild(l);s.appendChild(t);
s.addEventListener('mousemove',function(e){var b=s.getBoundingClientRect(),x=(e.clientX-b.left)*w/b.width,m=null;seg.forEach(function(q){if(x>=q[2]&&x<=q[3])m=q[0]+(x-q[2])/(q[3]-q[2])*(q[1]-q[0])});
var v=m===null?'none':'';l.style.display=t.style.display=v;if(m===null)return;l.setAttribute('x1',x);l.setAttribute('x2',x);t.setAttribute('x',x>w-70?x-6:x+6);t.setAttribute('text-anchor',x>w-70?'end':'start');t.textContent=(m/1000).toFixed(3)+' s'});
s.addEventListener('mouseleave',function(){l.style.display=t.style.display='none'})});
/* zoom a figure */
all('[data-zoom]',function(b){b.onclick=function(){var p=D.getElementById(b.dataset.zoom),z=Math.min(3,Math.max(1,(+p.dataset.z||1)*(b.dataset.by==='in'?1.5:1/1.5)));if(b.dataset.by==='fit')z=1;p.dataset.z=z;all('svg',function(s){s.style.zoom=z},p)}});
/* on a narrow screen, start where it happens */
all('[data-x]',function(p){if(p.scrollWidth>p.clientWidth)p.scrollLeft=+p.dataset.x});
/* filter rows */
all('[data-filter]',function(b){b.onclick=function(){var g=b.dataset.group,f=b.dataset.filter;all('[data-group="'+g+'"]',function(o){o.setAttribute('aria-pressed',o===b)});
all('[data-in="'+g+'"]',function(r){r.hidden=!(f==='all'||(' '+r.dataset.is+' ').indexOf(' '+f+' ')>=0)})}});
all('[data-unfold]',function(b){b.onclick=function(){var o=b.getAttribute('aria-pressed')!=='true';b.setAttribute('aria-pressed',o);all('#'+b.dataset.unfold+' details',function(d){d.open=o})}});
})();
